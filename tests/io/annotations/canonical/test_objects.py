"""The list of annotations in canonical form."""

import math
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import pytest
from coco_toy import HEIGHT, SQUARE, WIDTH, canonical, coco, rules


def one(**changes: Any) -> dict[str, Any]:
    """Return content of two objects, the first of which is changed."""
    content = coco(1, 2)
    content["annotations"][0].update(changes)
    return content


def without(key: str, **changes: Any) -> dict[str, Any]:
    content = one(**changes)
    del content["annotations"][0][key]
    return content


def test_sound_annotations_stay_as_they_are() -> None:
    content = one(segmentation=SQUARE, attributes={"occluded": True}, track_id=5)
    result = canonical(content)
    assert result.content["annotations"] == content["annotations"]
    assert result.content["annotations"][0]["segmentation"] is SQUARE
    assert rules(result) == {}


@pytest.mark.parametrize("ids", [(0, 1), ("x", "y"), (-3, 1.5), (None, None), ([], {}), (7, "7")])
def test_ids_of_any_kind_are_numbered_and_given_back(ids: tuple[Any, Any]) -> None:
    content = coco(1, 2)
    for annotation, identity in zip(content["annotations"], ids, strict=True):
        annotation["id"] = identity
    result = canonical(content)
    assert [entry["id"] for entry in result.content["annotations"]] == [1, 2]
    expected = [identity if isinstance(identity, int | float | str) else None for identity in ids]
    assert list(result.ids.annotations.values()) == expected
    assert rules(result) == {}


def test_positions_lead_to_the_annotations_of_the_user() -> None:
    content = coco(2, 2)
    content["annotations"].insert(1, {**content["annotations"][0], "id": 50, "bbox": None})
    content["annotations"].insert(2, "annotation")
    result = canonical(content)
    assert dict(result.positions) == {1: 0, 2: 3, 3: 4, 4: 5}
    assert result.original is content
    for entry in result.content["annotations"]:
        assert content["annotations"][result.positions[entry["id"]]]["id"] == result.ids.annotations[entry["id"]]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"image_id": 5}, "image_unknown"),
        ({"image_id": None}, "image_unknown"),
        ({"image_id": True}, "image_unknown"),
        ({"image_id": [1]}, "image_unknown"),
        ({"category_id": 3}, "category_unknown"),
        ({"category_id": None}, "category_unknown"),
        ({"category_id": {}}, "category_unknown"),
        ({"bbox": [1, 2, math.nan, 4]}, "box_not_finite"),
        ({"bbox": [1, 2, 0, 4]}, "box_no_area"),
        ({"bbox": [1, 2, 3]}, "box_malformed"),
        ({"bbox": "box"}, "box_malformed"),
        ({"bbox": [70, 2, 3, 3]}, "box_outside"),
        ({"bbox": []}, "box_missing"),
        ({"bbox": None, "segmentation": [[1, 2]]}, "box_missing"),
        ({"bbox": None, "segmentation": {"size": [HEIGHT, WIDTH], "counts": "bad"}}, "box_missing"),
    ],
)
def test_annotations_that_cannot_be_used_are_left_out(changes: dict[str, Any], rule: str) -> None:
    result = canonical(one(**changes))
    assert [result.ids.annotations[entry["id"]] for entry in result.content["annotations"]] == [2]
    (note,) = result.notes
    assert (note.kind, note.rule, note.count) == ("left out", rule, 1)
    assert note.examples[0].startswith("annotation 1")


def test_annotations_that_are_not_objects_are_left_out() -> None:
    content = coco(1, 2)
    content["annotations"] += [None, 3, [], "x"]
    result = canonical(content)
    assert len(result.content["annotations"]) == 2
    assert rules(result) == {"annotation_malformed": 4}
    assert result.notes[0].examples[0] == "annotations[2] is None"


@pytest.mark.parametrize("image_id", ["1", "1.0", " 1"])
def test_image_ids_of_another_type_are_found(image_id: str) -> None:
    result = canonical(one(image_id=image_id))
    assert result.content["annotations"][0]["image_id"] == 1
    assert rules(result) == {"id_type_differs": 1}


def test_boxes_as_text_become_numbers() -> None:
    result = canonical(one(bbox=["5", "6.5", 20, "15"]))
    assert result.content["annotations"][0]["bbox"] == [5, 6.5, 20, 15]
    assert rules(result) == {"box_number_text": 1}


def test_boxes_beyond_the_border_are_kept_and_counted() -> None:
    result = canonical(one(bbox=[-5, -5, 100, 20]))
    assert result.content["annotations"][0]["bbox"] == [-5, -5, 100, 20]
    assert rules(result) == {"box_beyond_border": 1}


def compressed(mask: Any) -> dict[str, Any]:
    rle = mask_util.encode(np.asfortranarray(mask))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode()}


def square_mask() -> Any:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:20, 10:20] = 1
    return mask


@pytest.mark.parametrize("segmentation", [SQUARE, compressed(square_mask())])
def test_missing_boxes_are_those_of_the_outlines(segmentation: Any) -> None:
    result = canonical(without("bbox", segmentation=segmentation))
    assert result.content["annotations"][0]["bbox"] == [10, 10, 10, 10]
    assert rules(result) == {"box_from_outline": 1}


@pytest.mark.parametrize("segmentation", [[], None, {}, [[]]])
def test_empty_outlines_are_no_outline(segmentation: Any) -> None:
    result = canonical(one(segmentation=segmentation))
    assert "segmentation" not in result.content["annotations"][0]
    assert rules(result) == {}


@pytest.mark.parametrize(
    ("segmentation", "rule"),
    [
        ([[5, 6, 25, 21]], "outline_bad"),
        ("mask", "outline_bad"),
        ({"size": [HEIGHT, WIDTH], "counts": "bad"}, "outline_bad"),
        (compressed(0 * square_mask()), "outline_bad"),
        (compressed(square_mask().T), "outline_other_size"),
    ],
)
def test_a_bad_outline_does_not_cost_the_box(segmentation: Any, rule: str) -> None:
    result = canonical(one(segmentation=segmentation))
    assert len(result.content["annotations"]) == 2
    assert "segmentation" not in result.content["annotations"][0]
    assert result.content["annotations"][0]["area"] == 300
    assert rules(result) == {rule: 1}
    assert result.notes[0].examples[0].startswith("annotation 1 of '0.png': ")


def test_many_rles_are_measured() -> None:
    content = coco(1, 300)
    good = compressed(square_mask())
    for number, annotation in enumerate(content["annotations"]):
        annotation["segmentation"] = {**good, "counts": "0"} if number % 3 == 0 else good
        del annotation["area"]
    content["annotations"] = [{**entry, "bbox": [5, 6, 20, 15]} for entry in content["annotations"]]
    result = canonical(content)
    assert rules(result) == {"outline_bad": 100}
    for entry in result.content["annotations"]:
        bad = entry["id"] % 3 == 1
        assert ("segmentation" in entry) is not bad
        assert entry["area"] == (300 if bad else 100)


@pytest.mark.parametrize(
    ("area", "expected", "found"),
    [(7.5, 7.5, {}), ("7.5", 7.5, {}), (0, 300, {}), (None, 300, {})]
    + [(-1, 300, {"area_invalid": 1}), (math.nan, 300, {"area_invalid": 1}), ([1], 300, {"area_invalid": 1})],
)
def test_areas_are_completed(area: Any, expected: float, found: dict[str, int]) -> None:
    result = canonical(one(area=area))
    assert result.content["annotations"][0]["area"] == expected
    assert rules(result) == found


def test_missing_areas_are_those_of_the_outlines() -> None:
    for segmentation in (SQUARE, compressed(square_mask())):
        assert canonical(without("area", segmentation=segmentation)).content["annotations"][0]["area"] == 100
    assert canonical(without("area")).content["annotations"][0]["area"] == 300


def test_crowds_are_counted() -> None:
    result = canonical(one(iscrowd=1))
    assert [entry["iscrowd"] for entry in result.content["annotations"]] == [1, 0]
    assert rules(result) == {"crowd": 1}


def test_ignored_objects_are_crowds_and_keep_their_key() -> None:
    result = canonical(one(ignore=1))
    assert [entry["iscrowd"] for entry in result.content["annotations"]] == [1, 0]
    assert result.content["annotations"][0]["ignore"] == 1
    assert rules(result) == {"ignored": 1}


def test_crowds_alone_are_a_contradiction_with_a_remedy() -> None:
    content = coco(1, 3)
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    content["annotations"][0].update(iscrowd=0, ignore=1)
    result = canonical(content)
    note = next(note for note in result.notes if note.rule == "all_crowds")
    assert (note.kind, note.count) == ("contradiction", 3)
    assert "set iscrowd to 0" in note.remedy


def test_missing_iscrowd_is_0() -> None:
    result = canonical(without("iscrowd"))
    assert result.content["annotations"][0]["iscrowd"] == 0
    assert rules(result) == {}


def test_repeated_ids_are_numbered_anew_and_repeated_annotations_are_left_out() -> None:
    content = coco(1, 2)
    first = content["annotations"][0]
    content["annotations"] += [dict(first), {**first, "bbox": [1, 1, 9, 9]}]
    result = canonical(content)
    assert [entry["id"] for entry in result.content["annotations"]] == [1, 2, 3]
    assert list(result.ids.annotations.values()) == [1, 2, 1]
    assert rules(result) == {"annotation_id_twice": 1, "annotation_twice": 1}
