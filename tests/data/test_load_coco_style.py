"""Loading of datasets: records, what is left out and said, what is refused."""

import json

import numpy as np
import pytest
from dataset_toy import coco, load, new_name, regular_coco, write_files
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from PIL import Image

from depthbox.data import BoxDepthMapper, DepthFileError, register_coco_style
from depthbox.data.datasets import read_coco_style
from depthbox.io.annotations.records import AnnotationError


@pytest.fixture
def name():
    return new_name()


@pytest.fixture
def root(tmp_path):
    return write_files(tmp_path)


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


def without(key, of=None):
    def change(data):
        for entry in [data] if of is None else data[of]:
            entry.pop(key, None)

    return change


def put(of, key, value):
    def change(data):
        data[of][0][key] = value

    return change


def change_and_load(name, root, *changes):
    data = coco()
    for change in changes:
        change(data)
    (root / "truth.json").write_text(json.dumps(data))
    return load(name, root, depth=False)


LEFT_OUT = {
    "no box": (without("bbox", "annotations"), [], "3 annotations without bbox and outline"),
    "no category": (without("category_id", "annotations"), [], "3 annotations of categories that are not listed"),
    "unknown category": (put("annotations", "category_id", 55), [11], "1 annotations of categories"),
    "unknown image": (put("annotations", "image_id", 55), [11], "1 annotations of images that are not listed"),
    "three numbers": (put("annotations", "bbox", [1, 2, 3]), [11], "1 boxes that are not four numbers"),
    "NaN": (put("annotations", "bbox", [1, 2, float("nan"), 4]), [11], "1 boxes with NaN"),
    "no area": (put("annotations", "bbox", [1, 2, 0, 4]), [11], "1 boxes whose width or height is not positive"),
    "outside": (put("annotations", "bbox", [90, 2, 3, 4]), [11], "1 boxes that lie outside their image"),
    "text": (put("annotations", "bbox", ["1", "2", "3", "4"]), [10, 11], ""),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_annotations_that_cannot_be_used_are_left_out_and_counted(name, root, caplog, case):
    change, left, line = LEFT_OUT[case]
    first, second = change_and_load(name, root, change)
    assert [annotation["id"] for annotation in first["annotations"]] == left
    assert len(second["annotations"]) == (len(left) > 0)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line in warning and warning.startswith(f"{name}: left out: ") for warning in warnings] == [True] * bool(
        line
    )


def test_ids_of_annotations_that_repeat_are_numbered(name, root):
    first, second = change_and_load(name, root, put("annotations", "id", 11))
    assert [a["id"] for a in first["annotations"] + second["annotations"]] == [1, 2, 3]


def test_crowds_may_be_marked_as_ignored(name, root):
    first, _ = change_and_load(name, root, put("annotations", "ignore", 1), without("iscrowd", "annotations"))
    assert [annotation["iscrowd"] for annotation in first["annotations"]] == [1, 0]


def use_text_ids(data):
    for key, ids in (("images", "ab"), ("categories", "xyz")):
        known = {entry["id"]: identity for entry, identity in zip(data[key], ids, strict=True)}
        for entry in data[key]:
            entry["id"] = known[entry["id"]]
        field = {"images": "image_id", "categories": "category_id"}[key]
        for entry in data["annotations"]:
            entry[field] = known[entry[field]]


def test_ids_that_are_text_are_numbered_in_the_order_of_the_file(name, root):
    first, second = change_and_load(name, root, use_text_ids)
    assert (first["image_id"], second["image_id"]) == (1, 2)
    assert [a["category_id"] for a in first["annotations"]] == [2, 1] and second["annotations"][0]["category_id"] == 0
    assert MetadataCatalog.get(name).thing_dataset_id_to_contiguous_id == {1: 0, 2: 1, 3: 2}
    assert MetadataCatalog.get(name).thing_classes == ["third", "first", "second"]
    annotations = read_coco_style(name, str(root / "truth.json"), str(root / "images"))
    assert dict(annotations.ids.images) == {1: "a", 2: "b"} and dict(annotations.ids.categories)[1] == "x"


def test_names_of_images_are_those_on_disk(name, root):
    first, second = change_and_load(name, root, put("images", "file_name", "A.B.JPG"))
    assert first["file_name"] == str(root / "images" / "a.b.jpg")
    assert second["file_name"] == str(root / "images" / "sub" / "c.jpg")


def test_missing_images_are_left_out_and_counted(name, root, caplog):
    (root / "images" / "a.b.jpg").unlink()
    (record,) = load(name, root)
    assert record["image_id"] == 2
    assert f"{name}: left out: 1 images whose file does not exist (such as 'a.b.jpg')" in caplog.text
    assert [image["id"] for image in read(name, root).content["images"]] == [2]


def test_a_dataset_without_any_image_is_refused(name, root):
    for file in ("a.b.jpg", "sub/c.jpg"):
        (root / "images" / file).unlink()
    with pytest.raises(FileNotFoundError, match=rf"'{name}': none of the 2 images exists in .*images .*correct the"):
        load(name, root)


def read(name, root):
    return read_coco_style(name, str(root / "truth.json"), str(root / "images"))


REFUSED = {
    "no images": (without("images"), r"missing list\(s\): images"),
    "empty images": (lambda data: data["images"].clear(), "has no image that can be used"),
    "no file names": (without("file_name", "images"), "has no image that can be used"),
    "no categories": (without("categories"), r"missing list\(s\): categories"),
    "one id, two images": (put("images", "id", 2), "the image id 2 is used for"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_cannot_be_used_are_named_with_the_cause(name, root, case):
    change, cause = REFUSED[case]
    with pytest.raises(AnnotationError, match=rf"truth\.json.*{cause}"):
        change_and_load(name, root, change)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"text"'])
def test_files_without_coco_content_are_named(name, root, text):
    (root / "truth.json").write_text(text)
    with pytest.raises(AnnotationError, match=r"truth\.json is (empty|not valid JSON|not a COCO JSON file)"):
        load(name, root)


def test_other_formats_are_read(name, root):
    (root / "data.yaml").write_text("train: images\nnames: [first, second]\n")
    (root / "labels" / "sub").mkdir(parents=True)
    (root / "labels" / "a.b.txt").write_text("1 0.5 0.5 0.2 0.4\n")
    register_coco_style(name, root / "data.yaml", root / "images")
    first, second = DatasetCatalog.get(name)
    assert first["annotations"][0]["bbox"] == pytest.approx([12, 6, 6, 8]) and second["annotations"] == []
    assert MetadataCatalog.get(name).thing_classes == ["first", "second"]


def test_regular_files_load_as_with_detectron2(name, root):
    content = regular_coco()
    for image in content["images"]:
        Image.new("RGB", (60, 40)).save(root / "images" / image["file_name"])
    (root / "truth.json").write_text(json.dumps(content))
    records = load(name, root, depth=False)
    expected = load_coco_json(str(root / "truth.json"), str(root / "images"), f"{name}_2", ["id"])
    ours, theirs = MetadataCatalog.get(name), MetadataCatalog.get(f"{name}_2")
    assert ours.thing_classes == theirs.thing_classes
    assert ours.thing_dataset_id_to_contiguous_id == theirs.thing_dataset_id_to_contiguous_id
    assert [list(record) for record in records] == [list(record) for record in expected]
    for record in expected:
        for annotation in record["annotations"]:
            if isinstance(annotation["segmentation"], dict):  # Detectron2 compresses uncompressed RLEs
                annotation["segmentation"] = {"size": [40, 60], "counts": [100, 30, 2270]}
    assert records == expected and sum(len(record["annotations"]) for record in records) == 60


def test_missing_depth_files_are_counted_and_the_first_are_named(name, root):
    (root / "depth" / "sub" / "c.npy").unlink()
    with pytest.raises(DepthFileError) as error:
        load(name, root)
    for part in (name, "1 of 2", str(root / "depth" / "sub" / "c.png"), "`depthbox depth`"):
        assert part in str(error.value)


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
