"""COCO JSON files of canonical datasets."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from coco_toy import SQUARE, canonical, coco, raw, rules

from depthbox.io.annotations.canonical import canonicalize, repaired_coco, write_coco
from depthbox.io.annotations.coco import read_coco


def test_written_content_is_read_back(tmp_path: Path) -> None:
    content: dict[str, Any] = coco() | {"info": {"by": "größe \ud800"}, "licenses": [], "x": None, "empty": {}}
    path = write_coco(content, tmp_path / "new" / "boxes.json")
    assert json.loads(path.read_text()) == content
    assert write_coco({}, tmp_path / "none.json").read_text() == "{}"
    assert write_coco(coco(2000), path) == path
    assert json.loads(path.read_text()) == coco(2000)


def test_a_failure_leaves_the_older_file(tmp_path: Path) -> None:
    path = write_coco(coco(), tmp_path / "boxes.json")
    with pytest.raises(TypeError):
        write_coco({**coco(9999), "annotations": [{1, 2}]}, path)
    assert json.loads(path.read_text()) == coco()
    assert [file.name for file in tmp_path.iterdir()] == ["boxes.json"]


def broken() -> dict[str, Any]:
    content = coco(3, 3)
    content["annotations"][0].update(bbox=["1", "2", "3", "4"], score=math.nan)
    content["annotations"][1].update(segmentation=SQUARE[0], ignore=1)
    content["annotations"][2].update(category_id="2", area=-1)
    content["annotations"][3].update(bbox=[1, 2, 0, 4])
    content["images"][0]["file_name"] = ".\\0.png"
    content["categories"].append({"id": 7, "name": "dog"})
    content["info"] = {"share": math.inf}
    return content


def test_repaired_content_needs_no_further_repair(tmp_path: Path) -> None:
    result = canonical(broken())
    repaired = repaired_coco(result)
    json.dumps(repaired, allow_nan=False)
    path = write_coco(repaired, tmp_path / "fixed.json")
    again = canonicalize(read_coco(path, tmp_path), check_files=False)
    assert rules(again) == {"crowd": 1}
    assert again.content["images"] == result.content["images"]
    assert again.content["categories"] == result.content["categories"]
    for before, after in zip(result.content["annotations"], again.content["annotations"], strict=True):
        assert {**before, "score": None, "ignore": 0} == {**after, "score": None, "ignore": 0}
    assert repaired["info"] == {"share": None}


def test_repaired_content_keeps_usable_ids() -> None:
    content = coco()
    for image in content["images"]:
        image["id"] += 100
    for annotation in content["annotations"]:
        annotation["image_id"] += 100
        annotation["id"] += 1000
        annotation["category_id"] -= 1
    for category in content["categories"]:
        category["id"] -= 1
    assert repaired_coco(canonical(content)) == content


@pytest.mark.parametrize("ids", [("a", "b"), (0, 1), (1.5, 2), (3, 3)])
def test_repaired_content_numbers_other_ids(ids: tuple[Any, Any]) -> None:
    content = coco(1, 2)
    for annotation, identity in zip(content["annotations"], ids, strict=True):
        annotation["id"] = identity
    assert [entry["id"] for entry in repaired_coco(canonical(content))["annotations"]] == [1, 2]


def test_the_canonical_content_is_not_changed_by_the_repaired_one() -> None:
    result = canonicalize(raw(broken()), check_files=False)
    before = json.dumps(result.content)
    repaired_coco(result)
    assert json.dumps(result.content) == before
