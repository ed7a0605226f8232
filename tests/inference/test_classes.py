"""Names of classes: given, from the training's json, or numbers."""

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
def truth(tmp_path: Path) -> Path:
    categories = [{"id": number, "name": name} for number, name in NAMES.items()]
    (tmp_path / "truth.json").write_text(json.dumps({"categories": categories}))
    return tmp_path / "truth.json"


def test_given_names(truth: Path, tmp_path: Path) -> None:
    assert find_classes(config(), "cat, dog").categories() == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    (tmp_path / "names.txt").write_text("cat\n\nbig dog\n")
    assert find_classes(config(), str(tmp_path / "names.txt")).names == ("cat", "big dog")
    by_id = find_classes(config(), str(truth))
    assert by_id.names == ("ant", "zebra") and by_id.ids == (4, 9)


def test_the_trainings_json_is_asked_then_numbers_are_given(truth: Path) -> None:
    entries = repr([["other", "gone.json", "images"], ["mine", str(truth), "images"]])
    words = ["DATASETS.COCO_STYLE", entries, "DATASETS.TRAIN", "('mine',)"]
    assert find_classes(config(*words)).names == ("ant", "zebra")
    assert find_classes(config("DATASETS.TRAIN", "()")).names == ("class 1", "class 2")


@pytest.mark.parametrize(("given", "message"), [("cat", "names 1 classes, the network has 2"), ("x.json", "x.json")])
def test_mistakes_are_named(given: str, message: str) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        find_classes(config(), given)


def test_a_json_without_categories_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match=r"a\.json is no COCO json"):
        find_classes(config(), str(tmp_path / "a.json"))
