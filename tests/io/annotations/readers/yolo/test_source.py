"""The file that describes a YOLO dataset: class names, splits and mistakes."""

import pytest
from reader_toy import (
    FILES,
    boxes_of,
    files_of,
    require_boxes,
    rules_of,
    with_yaml,
    write_text,
    write_yolo,
    write_yolo_splits,
)

from depthbox.io.annotations.readers.yolo import find_source_file, read_yolo
from depthbox.io.annotations.readers.yolo.source import load_source
from depthbox.io.annotations.records import AnnotationError


@pytest.fixture
def both(tmp_path):
    return write_yolo_splits(tmp_path)


@pytest.mark.parametrize("key", ["val", "valid", "validation"])
@pytest.mark.parametrize("asked", ["val", "valid"])
def test_names_of_the_validation_split(both, key, asked):
    with_yaml(both, f"train: images/train\n{key}: images/val\nnames: [a, b]\n")
    require_boxes(read_yolo(both, split=asked), ["v.jpg"])


def test_a_folder_with_a_yaml_of_any_name(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / "data.yaml").rename(tmp_path / "fruits.yml")
    write_text(tmp_path / "train_settings.yaml", "epochs: 3\n")
    write_text(tmp_path / "model.yaml", "nc: 80\nbackbone: []\n")
    assert find_source_file(tmp_path) == tmp_path / "fruits.yml"
    require_boxes(read_yolo(tmp_path), FILES)
    require_boxes(read_yolo(tmp_path / "fruits.yml"), FILES)
    write_text(tmp_path / "other.yaml", "names: [c]\n")
    with pytest.raises(AnnotationError, match=r"several YAML files .*fruits\.yml, other\.yaml"):
        read_yolo(tmp_path)
    write_text(tmp_path / "data.yaml", "train: images/train\nnames: [a, b]\n")
    require_boxes(read_yolo(tmp_path), FILES)


@pytest.mark.parametrize(
    "names", ["[no, yes]", "{1: yes, 0: no}", "{'0': no, '1': yes}", "\n- no\n- yes", "classes.txt"]
)
def test_names_are_texts_in_the_order_of_their_numbers(tmp_path, names):
    write_yolo(tmp_path, yaml=f"train: images/train\nnames: {names}\n")
    write_text(tmp_path / "classes.txt", "no\nyes\n\n")
    assert read_yolo(tmp_path).content["categories"] == [{"id": 1, "name": "no"}, {"id": 2, "name": "yes"}]


def test_class_numbers_may_have_gaps(tmp_path):
    write_yolo(tmp_path, yaml="train: images/train\nnames: {0: a, 1: b, 7: c}\n")
    raw = read_yolo(tmp_path)
    require_boxes(raw, FILES)
    assert [category["id"] for category in raw.content["categories"]] == [1, 2, 3]


def test_only_the_number_of_classes(tmp_path):
    write_yolo(tmp_path, yaml="train: images/train\nnc: 2\n")
    assert [category["name"] for category in read_yolo(tmp_path).content["categories"]] == ["class 0", "class 1"]


def test_a_number_of_classes_that_contradicts_the_names(tmp_path):
    raw = read_yolo(write_yolo(tmp_path, yaml="train: images/train\nnc: 3\nnames: [a, b]\n"))
    require_boxes(raw, FILES)
    assert rules_of(raw) == {"class_count_differs": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images/gone\nnames: [a]\n", "images/gone does not exist"),
        ("train: [images/train, images/gone]\nnames: [a, b]\n", "does not exist"),
        ("train: {a: b}\nnames: [a]\n", "'train' must be a folder"),
        ("train: images/train\n", "no 'names'"),
        ("- a\n- b\n", "no 'names'"),
        ("a: [", "not valid YAML"),
        ("names: [a]\ntrain: !!python/object:os.system x", "not one of|does not exist|not valid YAML|must be"),
        ("names: []\ntrain: images/train\n", "no 'names'"),
        ("names: [[a], b]\ntrain: images/train\n", "not a class name"),
        ("names: {x: a}\ntrain: images/train\n", "keys of 'names'"),
        ("names: gone.txt\ntrain: images/train\n", "not a list of class names"),
        ("names: [a, b]\nkpt_shape: [17]\ntrain: images/train\n", "kpt_shape"),
        ("nc: 99999999\ntrain: images/train\n", "no 'names'"),
        ("[" * 5000, "not valid YAML"),
        ("names: [a, b]\ntrain: \"images/\\0\"\n", "does not exist"),
        ("names: [a, b]\ntrain: " + "x" * 5000 + "\n", "does not exist"),
    ],
)  # fmt: skip
def test_broken_yaml_is_named(tmp_path, text, message):
    write_yolo(tmp_path, yaml=text)
    with pytest.raises(AnnotationError, match=message):
        read_yolo(tmp_path / "data.yaml")


def test_a_folder_without_names(tmp_path):
    write_yolo(tmp_path, yaml=None)
    with pytest.raises(AnnotationError, match=r"add a data\.yaml"):
        load_source(tmp_path)


def test_every_split_has_the_same_classes(both):
    write_text(both / "labels/val/v.txt", "")
    train, val = read_yolo(both), read_yolo(both, split="val")
    assert train.content["categories"] == val.content["categories"] and not boxes_of(val) and files_of(val) == ["v.jpg"]
