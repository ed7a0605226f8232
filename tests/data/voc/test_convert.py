"""Conversion of a VOC folder: pixels, classes, void, SBD, damaged files, and use by loader and evaluator."""

import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image
from voc_toy import SBD, SIZE, TRAIN, VAL, draw_maps, write_map, write_sbd, write_voc

from depthbox.data import register_coco_style
from depthbox.data.loader import load_records
from depthbox.data.voc.convert import convert_voc
from depthbox.data.voc.objects import CLASSES
from depthbox.evaluation import VocMaskEvaluator


@pytest.fixture
def root(tmp_path):
    return write_voc(tmp_path / "VOC2012")


def convert(root, split="val", **options):
    output = root.parent / "out" / f"{split}.json"
    report = convert_voc(root, split, output, **options)
    return report, json.loads(output.read_text())


def test_masks_classes_and_boxes_are_those_of_the_pixels(root):
    report, content = convert(root)
    assert [image["file_name"] for image in content["images"]] == [f"{name}.jpg" for name in VAL]
    assert [(c["id"], c["name"]) for c in content["categories"]] == list(enumerate(CLASSES, 1))
    assert [entry["id"] for entry in content["annotations"]] == [1, 2, 3, 4, 5, 6]
    for number in (0, 1):
        objects, _ = draw_maps(number)
        mine = [entry for entry in content["annotations"] if entry["image_id"] == number + 1]
        assert [entry["category_id"] for entry in mine] == [15, 5, 12] and not any(e["iscrowd"] for e in mine)
        for value, entry in enumerate(mine, 1):
            mask = mask_util.decode(entry["segmentation"])
            assert np.array_equal(mask == 1, objects == value) and entry["area"] == mask.sum()
            rows, columns = np.nonzero(mask)
            extent = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert entry["bbox"] == extent
        covered = sum(mask_util.decode(entry["segmentation"]) for entry in mine)
        assert not covered[objects == 255].any()  # void belongs to no object
    assert (report.images, report.without_objects, report.objects["person"], report.mixed) == (2, 0, 2, 0)


def test_images_without_objects_are_kept(root):
    report, content = convert(root, "train")
    assert len(content["images"]) == 2 and {e["image_id"] for e in content["annotations"]} == {1}
    assert report.without_objects == 1 and report.in_val == 0
    assert report.class_maps == root / "SegmentationClass"


def test_boxes_only_leave_out_the_masks(root):
    _, content = convert(root, boxes_only=True)
    assert all("segmentation" not in entry for entry in content["annotations"])
    assert all(entry["area"] == entry["bbox"][2] * entry["bbox"][3] for entry in content["annotations"])


def test_equal_input_gives_equal_bytes_for_any_number_of_workers(root):
    convert_voc(root, "trainval", root / "one.json")
    convert_voc(root, "trainval", root / "two.json", workers=2)
    assert (root / "one.json").read_bytes() == (root / "two.json").read_bytes()


def test_images_of_sbd_take_their_objects_from_its_files(root):
    values = np.zeros(SIZE, np.uint8)
    values[2:9, 5:20], values[15:20, 1:9] = 1, 2
    sbd = write_sbd(root.parent / "dataset", values, [7, 15])
    report, content = convert(root, "train_aug", sbd=sbd)
    mine = [entry for entry in content["annotations"] if entry["image_id"] == 3]
    assert [entry["category_id"] for entry in mine] == [7, 15]
    assert np.array_equal(mask_util.decode(mine[1]["segmentation"]), values == 2)
    assert report.from_sbd == 1 and report.images == 3
    assert report.class_maps == root / "SegmentationClassAug" and "SegmentationClassAug" in str(report)


def test_a_training_list_with_images_of_val_is_reported(root):
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text(f"{TRAIN[0]}\n{VAL[0]}\n")
    report, _ = convert(root, "train")
    assert report.in_val == 1 and "warning: 1 of these training images are in the list of val" in str(report)


def test_an_object_of_two_classes_gets_the_more_frequent_one(root):
    _, classes = draw_maps(0)
    classes[4:6, 3:10] = 8
    write_map(root / "SegmentationClass" / f"{VAL[0]}.png", classes)
    report, content = convert(root)
    assert content["annotations"][0]["category_id"] == 15 and report.mixed == 1


def damage(root, change):
    objects, classes = draw_maps(0)
    change(root, objects, classes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda root, objects, classes: write_map(root / "SegmentationObject" / f"{VAL[0]}.png", objects[:-1]),
            r"SegmentationObject.*is 29 x 40 .*unpack both again",
        ),
        (
            lambda root, objects, classes: write_map(
                root / "SegmentationClass" / f"{VAL[0]}.png", np.where(objects == 1, 0, classes)
            ),
            r"SegmentationObject.*the object 1 has no pixel of a class",
        ),
        (
            lambda root, objects, classes: write_map(root / "SegmentationClass" / f"{VAL[0]}.png", classes * 2),
            r"SegmentationClass.*the value 2\d is not a class of VOC",
        ),
        (
            lambda root, objects, classes: (
                Image.fromarray(objects).convert("RGB").save(root / "SegmentationObject" / f"{VAL[0]}.png")
            ),
            r"SegmentationObject.*has the mode 'RGB': use the official PNG",
        ),
        (
            lambda root, objects, classes: (root / "SegmentationObject" / f"{VAL[0]}.png").write_bytes(b"\x89PNG"),
            r"SegmentationObject.*cannot be read as a PNG.*unpack it again",
        ),
    ],
)
def test_damaged_maps_are_named_and_leave_no_file(root, change, message):
    damage(root, change)
    with pytest.raises(ValueError, match=message):
        convert(root)
    assert not (root.parent / "out").exists()


def test_damaged_files_of_sbd_are_named(root):
    sbd = write_sbd(root.parent / "dataset", np.full(SIZE, 2), [7])
    with pytest.raises(ValueError, match=rf"{SBD}\.mat is not a MATLAB file of SBD.*beyond its 1 objects.*unpack"):
        convert(root, "train_aug", sbd=sbd)
    write_sbd(sbd, np.ones(SIZE), [21])
    with pytest.raises(ValueError, match=r"classes are not all from 1 to 20"):
        convert(root, "train_aug", sbd=sbd)
    write_sbd(sbd, np.ones((3, 4)), [7])
    with pytest.raises(ValueError, match=r"is 3 x 4 \(height x width\)"):
        convert(root, "train_aug", sbd=sbd)
    (sbd / "inst" / f"{SBD}.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(ValueError, match=rf"{SBD}\.mat is not a MATLAB file of SBD"):
        convert(root, "train_aug", sbd=sbd)


def test_wrong_options_are_refused(root):
    with pytest.raises(ValueError, match="workers"):
        convert(root, workers=-1)
    with pytest.raises(ValueError, match="is a folder; name the JSON file"):
        convert_voc(root, "val", root)


def test_loader_and_evaluator_read_the_json(root):
    convert(root)
    name, output = f"voc_toy_{root.parent.name}", root.parent / "out" / "val.json"
    register_coco_style(name, output, root / "JPEGImages")
    records = load_records([name], filter_empty=False)
    assert [len(record["annotations"]) for record in records] == [3, 3]
    assert [entry["category_id"] for entry in records[0]["annotations"]] == [14, 4, 11]  # class value - 1
    values = VocMaskEvaluator(name).evaluate()["segm"]
    assert values["mAP50"] == values["AP50-dog"] == 0 and np.isnan(values["AP50-cow"])
