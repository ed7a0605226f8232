"""Loading of datasets: records, metadata, formats and depth files."""

import json

import numpy as np
import pytest
from dataset_toy import coco, load, new_name, regular_coco, write_files
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from PIL import Image

from depthbox.data import BoxDepthMapper, DepthFileError, register_coco_style


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
    mapper = BoxDepthMapper(True, augmentations=[], image_format="BGR", fields=("depth",))
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
    mapper = BoxDepthMapper(True, augmentations=[], image_format="BGR", fields=("gt_masks", "depth"))
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
