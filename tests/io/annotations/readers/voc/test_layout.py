"""Splits of Pascal VOC datasets."""

import pytest
from reader_toy import BOXES, boxes_of, files_of, require_boxes, rules_of, voc_object, voc_text, write_text, write_voc

from depthbox.io.annotations.readers.voc import read_voc, voc_splits
from depthbox.io.annotations.records import AnnotationError

LISTS = "ImageSets/Main"


def class_names(raw):
    return [category["name"] for category in raw.content["categories"]]


def test_a_dataset_without_splits_is_read_as_a_whole(tmp_path):
    write_voc(tmp_path)
    assert voc_splits(tmp_path) == voc_splits(tmp_path / "Annotations/000.xml") == ()
    require_boxes(read_voc(tmp_path, split="val"), ["000.jpg", "001.jpg", "002.jpg"])


def test_lists_of_splits(tmp_path):
    write_voc(tmp_path, count=4)
    write_text(tmp_path / "Annotations/003.xml", voc_text("003.jpg", [voc_object("z", BOXES[0])]))
    write_text(tmp_path / LISTS / "train.txt", "000\r\n001\r\n")
    write_text(tmp_path / LISTS / "val.txt", "003.jpg\n009\n")
    write_text(tmp_path / LISTS / "trainval.txt", "000\n001\n003\n")
    write_text(tmp_path / LISTS / "a_train.txt", "000  1\n001 -1\n")
    assert voc_splits(tmp_path) == ("train", "val")
    train, val = read_voc(tmp_path), read_voc(tmp_path, split="val")
    require_boxes(train, ["000.jpg", "001.jpg"])
    assert boxes_of(val) == [("003.jpg", "z", list(BOXES[0]))]
    assert class_names(train) == class_names(val) == ["a", "b", "z"], "every split has the same classes"
    assert not train.notes and rules_of(val) == {"listed_without_annotation": 1}
    assert files_of(read_voc(tmp_path, split="trainval")) == ["000.jpg", "001.jpg", "003.jpg"]
    assert read_voc(tmp_path, split="test") is None
    assert files_of(read_voc(tmp_path / "Annotations", split="val")) == ["003.jpg"]


def test_lists_of_one_class(tmp_path):
    write_voc(tmp_path)
    write_text(tmp_path / LISTS / "train.txt", "000  1\n002 -1\n")
    require_boxes(read_voc(tmp_path), ["000.jpg", "002.jpg"])


def test_a_list_of_both_splits(tmp_path):
    write_voc(tmp_path)
    write_text(tmp_path / LISTS / "trainval.txt", "000\n001\n002\n")
    assert voc_splits(tmp_path) == ("train",)
    assert files_of(read_voc(tmp_path)) == ["000.jpg", "001.jpg", "002.jpg"]
    write_text(tmp_path / LISTS / "val.txt", "001\n")
    assert voc_splits(tmp_path) == ("train", "val")
    assert files_of(read_voc(tmp_path)) == ["000.jpg", "002.jpg"]


def test_a_list_does_not_leave_the_dataset(tmp_path):
    write_voc(tmp_path / "data")
    write_text(tmp_path / "secret.xml", voc_text("000.jpg"))
    write_text(tmp_path / "data" / LISTS / "train.txt", "../../secret\n/etc/passwd\n000\n")
    raw = read_voc(tmp_path / "data")
    require_boxes(raw, ["000.jpg"])
    assert rules_of(raw) == {"listed_without_annotation": 2}


@pytest.mark.parametrize("inner", [("", ""), ("JPEGImages", "Annotations")])
@pytest.mark.parametrize("val", ["val", "valid"])
def test_a_folder_for_each_split(tmp_path, inner, val):
    for part, name in (("train", "b"), (val, "c")):
        write_voc(tmp_path / part, count=2, images=inner[0], annotations=inner[1])
        path = tmp_path / part / inner[1] / "001.xml"
        write_text(path, voc_text("001.jpg", [voc_object(name, BOXES[0])]))
    assert voc_splits(tmp_path) == ("train", "val")
    train, found = read_voc(tmp_path), read_voc(tmp_path, split="val")
    assert len(boxes_of(train)) == 4 and boxes_of(found)[-1] == ("001.jpg", "c", list(BOXES[0]))
    assert class_names(train) == class_names(found) == ["a", "b", "c"]
    assert not train.notes and train.image_root == tmp_path / "train" / inner[0]
    assert read_voc(tmp_path, split="test") is None


def test_a_folder_of_annotations_for_each_split(tmp_path):
    for part in ("train", "val"):
        write_voc(tmp_path, count=1, images=f"images/{part}", annotations=f"annotations/{part}")
    assert voc_splits(tmp_path) == ("train", "val")
    require_boxes(read_voc(tmp_path), ["train/000.jpg"])
    require_boxes(read_voc(tmp_path, split="val"), ["val/000.jpg"])


def test_a_folder_without_annotations(tmp_path):
    assert voc_splits(tmp_path) == ()
    with pytest.raises(AnnotationError, match=r"there are no \.xml files in"):
        read_voc(tmp_path)
