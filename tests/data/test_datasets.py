import json
import uuid

import numpy as np
import pytest
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from depthbox.data import BoxDepthMapper, DepthFileError, register_coco_style, register_from_config, write_depth


@pytest.fixture
def name():
    return f"test_{uuid.uuid4().hex}"


def coco():
    """Two images (one in a subfolder), category ids with gaps, one crowd, no segmentation."""
    image = {"height": 20, "width": 30}
    objects = [(10, 1, 7, 0), (11, 1, 3, 0), (12, 2, 90, 1)]
    return {
        "images": [{**image, "id": 1, "file_name": "a.b.jpg"}, {**image, "id": 2, "file_name": "sub/c.jpg"}],
        "categories": [{"id": 90, "name": "third"}, {"id": 3, "name": "first"}, {"id": 7, "name": "second"}],
        "annotations": [
            {
                "id": i,
                "image_id": image_id,
                "category_id": category,
                "iscrowd": crowd,
                "bbox": [1.0, 2.0, 5.0, 6.0],
            }
            for i, image_id, category, crowd in objects
        ],
    }


@pytest.fixture
def root(tmp_path):
    """A complete data set on disk: json, images, depth (one .png, one .npy)."""
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for file_name in ("a.b.jpg", "sub/c.jpg"):
        Image.new("RGB", (30, 20)).save(tmp_path / "images" / file_name)
    write_depth(tmp_path / "depth" / "a.b.png", np.zeros((20, 30), np.float32))
    write_depth(tmp_path / "depth" / "sub" / "c.npy", np.zeros((10, 15), np.float32))
    (tmp_path / "truth.json").write_text(json.dumps(coco()))
    return tmp_path


def load(name, root, depth=True):
    register_coco_style(name, root / "truth.json", root / "images", root / "depth" if depth else None)
    return DatasetCatalog.get(name)


def test_loads_boxes_without_segmentation_and_maps_categories(name, root):
    first, second = load(name, root)
    assert [a["category_id"] for a in first["annotations"]] == [1, 0]
    assert [a["id"] for a in first["annotations"]] == [10, 11]
    assert second["annotations"][0]["iscrowd"] == 1
    assert first["depth_file_name"] == str(root / "depth" / "a.b.png")
    assert second["depth_file_name"] == str(root / "depth" / "sub" / "c.npy")
    metadata = MetadataCatalog.get(name)
    assert metadata.thing_classes == ["first", "second", "third"]
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 0, 7: 1, 90: 2}
    assert metadata.evaluator_type == "coco" and metadata.has_masks is False
    assert metadata.json_file == str(root / "truth.json")
    assert (metadata.image_root, metadata.depth_root) == (str(root / "images"), str(root / "depth"))


def test_what_is_loaded_can_be_mapped(name, root):
    mapper = BoxDepthMapper(True, augmentations=[], image_format="BGR", read_depth=True)
    first, second = (mapper(record) for record in load(name, root))
    assert first["depth"].shape == second["depth"].shape == (1, 20, 30)
    assert (len(first["instances"]), len(second["instances"])) == (2, 0)


def test_with_masks_without_depth(name, root):
    data = coco()
    data["annotations"][0]["segmentation"] = [[1, 2, 6, 2, 6, 8]]
    (root / "truth.json").write_text(json.dumps(data))
    records = load(name, root, depth=False)
    assert all("depth_file_name" not in record for record in records)
    assert MetadataCatalog.get(name).has_masks is True


def test_images_without_annotations(name, root):
    data = coco()
    del data["annotations"]
    (root / "truth.json").write_text(json.dumps(data))
    assert [record["annotations"] for record in load(name, root)] == [[], []]


def test_registering_is_idempotent_but_never_silent(name, root):
    register_coco_style(name, root / "truth.json", root / "images")
    register_coco_style(name, str(root / "truth.json"), str(root / "images"), "")
    with pytest.raises(ValueError, match=f"'{name}' is taken"):
        register_coco_style(name, root / "other.json", root / "images")
    with pytest.raises(ValueError, match="'coco_2017_train' is taken"):
        register_coco_style("coco_2017_train", root / "truth.json", root / "images")
    assert len(DatasetCatalog.get(name)) == len(DatasetCatalog.get(name)) == 2


def test_registering_touches_no_file(name, tmp_path):
    register_coco_style(name, tmp_path / "no.json", tmp_path / "no", tmp_path / "no")
    with pytest.raises(FileNotFoundError, match=rf"'{name}'.*no\.json.*correct the paths"):
        DatasetCatalog.get(name)


def test_missing_image_folder(name, root):
    (root / "images").rename(root / "pictures")
    with pytest.raises(FileNotFoundError, match=rf"'{name}'.*images"):
        load(name, root)


def without(key, of=None):
    def change(data):
        for row in [data] if of is None else data[of]:
            row.pop(key, None)

    return change


def put(of, key, value):
    def change(data):
        data[of][0][key] = value

    return change


MALFORMED = {
    "no_images": without("images"),
    "no_categories": without("categories"),
    "no_height": without("height", "images"),
    "no_file_name": without("file_name", "images"),
    "no_bbox": without("bbox", "annotations"),
    "no_category": without("category_id", "annotations"),
    "unknown_category": put("annotations", "category_id", 55),
    "short_bbox": put("annotations", "bbox", [1, 2, 3]),
    "empty_bbox": put("annotations", "bbox", []),
    "text_bbox": put("annotations", "bbox", ["1", "2", "3", "4"]),
    "nan_bbox": put("annotations", "bbox", [1, 2, float("nan"), 4]),
    "twice_the_same_id": put("annotations", "id", 11),
    "empty_images": lambda data: data["images"].clear(),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_json_is_named_with_the_remedy(name, root, case):
    data = coco()
    MALFORMED[case](data)
    (root / "truth.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"truth\.json.*It must hold images"):
        load(name, root)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"text"'])
def test_no_json_at_all(name, root, text):
    (root / "truth.json").write_text(text)
    with pytest.raises(ValueError, match=r"truth\.json.*It must hold images"):
        load(name, root)


def test_missing_depth_files_are_counted_and_the_first_are_named(name, root):
    (root / "depth" / "sub" / "c.npy").unlink()
    with pytest.raises(DepthFileError) as error:
        load(name, root)
    for part in (name, "1 of 2", str(root / "depth" / "sub" / "c.png"), "`depthbox depth`"):
        assert part in str(error.value)


def config(*entries):
    return CfgNode({"DATASETS": {"COCO_STYLE": list(entries)}})


def test_from_config_expands_variables_and_is_idempotent(name, root, monkeypatch):
    monkeypatch.setenv("TEST_ROOT", str(root))
    cfg = config([name, "$TEST_ROOT/truth.json", "${TEST_ROOT}/images", ""])
    register_from_config(cfg)
    register_from_config(cfg)
    assert MetadataCatalog.get(name).json_file == str(root / "truth.json")
    assert len(DatasetCatalog.get(name)) == 2


@pytest.mark.parametrize("entry", [["only", "two"], "text", ["a", "b", "c", "d", "e"], ["a", "b", "c", None]])
def test_from_config_refuses_other_entries(entry):
    with pytest.raises(ValueError, match="COCO_STYLE"):
        register_from_config(config(entry))


def test_from_config_names_an_unset_variable(name):
    with pytest.raises(ValueError, match="NOT_SET_ANYWHERE"):
        register_from_config(config([name, "$NOT_SET_ANYWHERE/truth.json", "x", ""]))


@pytest.mark.parametrize("split", ["train", "val"])
def test_builtin_names(split):
    metadata = MetadataCatalog.get(f"coco_2017_{split}_depth")
    assert metadata.json_file.endswith(f"coco/annotations/instances_{split}2017.json")
    assert metadata.depth_root.endswith(f"coco/depth_{split}2017")


def test_real_coco(name, test_data_dir):
    source = test_data_dir / "coco_tiny160"
    register_coco_style(
        name,
        source / "annotations" / "instances_val2017.json",
        source / "val2017",
        source / "depth_val2017",
    )
    records = DatasetCatalog.get(name)
    assert len(records) == 80 and MetadataCatalog.get(name).has_masks
    mapper = BoxDepthMapper(True, augmentations=[], image_format="BGR", mask_supervision="mask", read_depth=True)
    off = []
    for record in records[:8]:
        result = mapper(record)
        assert result["depth"].shape[1:] == result["image"].shape[1:]
        boxes, masks = result["instances"].gt_boxes.tensor, result["instances"].gt_masks.tensor
        for box, mask in zip(boxes, masks, strict=True):
            rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
            drawn = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            off.append(max(abs(float(a) - float(b)) for a, b in zip(drawn, box, strict=True)))
    # A few of COCO's boxes are not those of their polygons.
    assert len(off) > 30 and np.median(off) <= 1 and np.mean(np.array(off) <= 2) > 0.95
