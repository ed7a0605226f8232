"""Class names: given, from the annotation file of the training set, or numbered."""

import json
from pathlib import Path

import pytest
from detectron2.config import CfgNode

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.inference.classes import find_classes

NAMES = {9: "zebra", 4: "ant"}


def config(*words: str) -> CfgNode:
    return load_config(add_depthbox_config, overrides=["MODEL.FCOS.NUM_CLASSES", "2", *words])


@pytest.fixture
def annotation_file(tmp_path: Path) -> Path:
    categories = [{"id": number, "name": name} for number, name in NAMES.items()]
    (tmp_path / "instances.json").write_text(json.dumps({"categories": categories}))
    return tmp_path / "instances.json"


def test_given_names(annotation_file: Path, tmp_path: Path) -> None:
    assert find_classes(config(), "cat, dog").categories() == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    (tmp_path / "names.txt").write_text("cat\n\nbig dog\n")
    assert find_classes(config(), str(tmp_path / "names.txt")).names == ("cat", "big dog")
    by_id = find_classes(config(), str(annotation_file))
    assert by_id.names == ("ant", "zebra") and by_id.ids == (4, 9)


def test_names_come_from_the_training_set_and_are_numbered_otherwise(annotation_file: Path) -> None:
    entries = repr([["other", "gone.json", "images"], ["mine", str(annotation_file), "images"]])
    words = ["DATASETS.COCO_STYLE", entries, "DATASETS.TRAIN", "('mine',)"]
    found = find_classes(config(*words))
    assert found.names == ("ant", "zebra") and found.known
    numbered = find_classes(config("DATASETS.TRAIN", "()"))
    assert numbered.names == ("class 1", "class 2") and not numbered.known


@pytest.mark.parametrize(("given", "message"), [("cat", "names 1 classes, the network has 2"), ("x.json", "x.json")])
def test_mistakes_are_named(given: str, message: str) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        find_classes(config(), given)


def test_ids_of_any_kind_are_kept(tmp_path: Path) -> None:
    categories = [{"id": "z", "name": "zebra"}, {"id": "a", "name": "ant"}]
    (tmp_path / "a.json").write_text(json.dumps({"categories": categories}))
    assert find_classes(config(), str(tmp_path / "a.json")).categories() == categories


def test_a_json_without_categories_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match=r"a\.json is not a COCO JSON file"):
        find_classes(config(), str(tmp_path / "a.json"))
