"""Points of annotations and images in canonical form."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
from coco_toy import HEIGHT, SQUARE, WIDTH, canonical, coco, rules

from depthbox.io.annotations.canonical import canonicalize, repaired_coco, write_coco
from depthbox.io.annotations.canonical.points import read_background_points, read_points
from depthbox.io.annotations.coco import read_coco
from depthbox.io.annotations.kinds import object_kind, positive_point

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e300, math.nan, math.inf, 10**400, "", "text", "7", [], {}, [1, 2], [[1, 2]], [["3", 4]],
    [[1, 2], [3]], [[[1]]], {"x": 1}, ["a", 1], [1, 1], [0], [2], [[math.nan, 1]], [1, 2, 2], [1, 2, 0], [[1, 2, 1]],
)  # fmt: skip


def of_points(*points: Any, **changes: Any) -> dict[str, Any]:
    """Return content of one image, whose first object has points alone, and whose second has a box."""
    content = coco(1, 2)
    first = {key: value for key, value in content["annotations"][0].items() if key not in ("bbox", "area")}
    content["annotations"][0] = {**first, "point_coords": list(points), **changes}
    return content


def first(content: dict[str, Any]) -> dict[str, Any]:
    return canonical(content).content["annotations"][0]


def test_an_object_of_points_alone_is_kept_as_it_is() -> None:
    content = of_points([12.5, 7], [30, 20.25], [3, 3], point_labels=[0, 1, 1], iscrowd=0)
    result = canonical(content)
    entry = result.content["annotations"][0]
    assert entry["point_coords"] == [[12.5, 7.0], [30.0, 20.25], [3.0, 3.0]] and entry["point_labels"] == [0, 1, 1]
    assert all(type(value) is float for point in entry["point_coords"] for value in point)
    assert entry["area"] == 0 and not {"bbox", "segmentation"} & set(entry)
    assert object_kind(entry) == "point" and positive_point(entry) == (30, 20.25)
    assert rules(result) == {}
    assert content["annotations"][0]["point_coords"] == [[12.5, 7], [30, 20.25], [3, 3]]


def test_missing_labels_are_positive() -> None:
    assert first(of_points([1, 2], [3, 4]))["point_labels"] == [1, 1]


def test_points_beside_a_box_or_mask_are_kept() -> None:
    entry = first(of_points([12, 12], point_labels=[0], bbox=[5, 6, 20, 15]))
    assert entry["point_labels"] == [0] and entry["bbox"] == [5, 6, 20, 15] and entry["area"] == 300
    assert object_kind(entry) == "box" and positive_point(entry) is None
    entry = first(of_points([12, 12], segmentation=SQUARE))
    assert object_kind(entry) == "mask" and entry["bbox"] == [10, 10, 10, 10] and entry["area"] == 100
    assert positive_point(entry) == (12, 12)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"point_coords": [[math.nan, 3]]}, {"point_not_finite": 1}),
        ({"point_coords": [[3, math.inf]]}, {"point_not_finite": 1}),
        ({"point_coords": [[10**400, 3]]}, {"point_not_finite": 1}),
        ({"point_coords": [[WIDTH, 3], [3, HEIGHT], [-0.5, 3]]}, {"point_outside": 3}),
        ({"point_coords": [[3, 4], [5, 6]], "point_labels": [1]}, {"point_labels_differ": 1}),
        ({"point_coords": [[3, 4], [5, 6]], "point_labels": 1}, {"point_labels_differ": 1}),
        ({"point_coords": [], "point_labels": [1]}, {"point_labels_differ": 1}),
        ({"point_coords": [[3, 4]], "point_labels": [2]}, {"point_label_invalid": 1}),
        ({"point_coords": [[3, 4]], "point_labels": [-1]}, {"point_label_invalid": 1}),
        ({"point_coords": [[3, 4]], "point_labels": [0.5]}, {"point_label_invalid": 1}),
        ({"point_coords": [[3, 4, 5]]}, {"point_malformed": 1}),
        ({"point_coords": "here"}, {"point_malformed": 1}),
        ({"point_coords": {"x": 3}}, {"point_malformed": 1}),
        ({"point_coords": [[3, 4]], "point_labels": [0]}, {}),
        ({"keypoints": [3, 4]}, {"point_malformed": 1}),
        ({"keypoints": "nose"}, {"point_malformed": 1}),
        ({"keypoints": [3, None, 2]}, {"point_malformed": 1}),
        ({"keypoints": [3, 4, 0]}, {}),
        ({"keypoints": [WIDTH, 4, 2, math.nan, 4, 1]}, {"point_outside": 1, "point_not_finite": 1}),
    ],
)
def test_points_that_cannot_be_used_cost_an_object_without_box(changes: dict[str, Any], found: dict[str, int]) -> None:
    content = of_points(**({"point_coords": None} | changes))
    result = canonical(content)
    assert [result.ids.annotations[entry["id"]] for entry in result.content["annotations"]] == [2]
    assert rules(result) == found | {"point_not_positive": 1}
    note = next(note for note in result.notes if note.rule == "point_not_positive")
    assert note.kind == "left out" and note.remedy and note.examples[0].startswith("annotation 1 of '0.png': ")
    content["annotations"][0]["bbox"] = [5, 6, 20, 15]
    beside = canonical(content)
    assert len(beside.content["annotations"]) == 2 and rules(beside) == found
    kept = beside.content["annotations"][0]
    assert ("point_coords" in kept) is ("point_labels" in kept) is (kept.get("point_labels") == [0])


def test_bad_points_are_left_out_beside_good_ones() -> None:
    content = of_points([1, 2], [99, 2], [math.nan, 2], [3, 4], "x", [5, 6], point_labels=[1, 1, 1, 7, 1, 0])
    result = canonical(content)
    entry = result.content["annotations"][0]
    assert (entry["point_coords"], entry["point_labels"]) == ([[1, 2], [5, 6]], [1, 0])
    assert rules(result) == {
        "point_outside": 1, "point_not_finite": 1, "point_label_invalid": 1, "point_malformed": 1
    }  # fmt: skip


@pytest.mark.parametrize(
    ("coords", "labels"), [([3, 4], [1]), ([3, 4], None), ([3, 4], 1), ([["3", " 4"]], [1]), ([[3, 4]], ["1"])]
)
def test_single_pairs_and_text_are_converted(coords: Any, labels: Any) -> None:
    result = canonical(of_points(point_coords=coords, point_labels=labels))
    entry = result.content["annotations"][0]
    assert (entry["point_coords"], entry["point_labels"]) == ([[3, 4]], [1])
    assert rules(result) == {"point_repaired": 1}


def test_labels_may_be_true_and_false() -> None:
    assert first(of_points([1, 2], [3, 4], point_labels=[True, False]))["point_labels"] == [1, 0]


@pytest.mark.parametrize("keypoints", [[7, 8, 1, 0, 0, 0, 3, 4, 2], [[7, 8, 1], [0, 0, 0], [3, 4, 2]]])
def test_keypoints_are_points_at_the_centers_of_their_pixels_visible_ones_first(keypoints: Any) -> None:
    result = canonical(of_points(point_coords=None, keypoints=keypoints))
    entry = result.content["annotations"][0]
    assert (entry["point_coords"], entry["point_labels"]) == ([[3.5, 4.5], [7.5, 8.5]], [1, 1])
    assert rules(result) == {"keypoints_as_points": 1}


def test_points_count_before_keypoints() -> None:
    result = canonical(of_points([1, 2], keypoints=[7, 8, 2]))
    assert result.content["annotations"][0]["point_coords"] == [[1, 2]] and rules(result) == {}


@pytest.mark.parametrize(
    ("bbox", "rule"),
    [
        ([1, 2, 0, 4], "box_no_area"),
        ([1, 2, math.nan, 4], "box_not_finite"),
        ([1, 2, 3], "box_malformed"),
        ([70, 2, 3, 3], "box_outside"),
    ],
)
def test_an_annotation_with_a_bad_box_and_a_good_point_is_a_point(bbox: Any, rule: str) -> None:
    result = canonical(of_points([3, 4], bbox=bbox, segmentation=SQUARE))
    entry = result.content["annotations"][0]
    assert object_kind(entry) == "point" and entry["point_coords"] == [[3, 4]] and entry["area"] == 0
    assert rules(result) == {rule: 1, "point_instead_of_box": 1}


def test_a_bad_outline_does_not_cost_the_point() -> None:
    result = canonical(of_points([3, 4], segmentation=[[1, 2]]))
    assert object_kind(result.content["annotations"][0]) == "point" and rules(result) == {"outline_bad": 1}


def test_an_annotation_of_no_kind_is_left_out() -> None:
    result = canonical(of_points(point_coords=None))
    assert len(result.content["annotations"]) == 1
    assert result.notes[0].rule == "box_missing" and "without box, outline or point" in result.notes[0].text


@pytest.mark.parametrize(
    ("side", "expected"), [((1, 1), [20.5, 10.5]), ((0, 0), [20, 10]), (("0.5", 1), [20.25, 10.5])]
)
def test_boxes_of_one_pixel_are_points_if_all_are(side: tuple[Any, Any], expected: list[float]) -> None:
    content = coco(2, 2)
    for entry in content["annotations"]:
        entry["bbox"] = [20, 10, *side]
    result = canonical(content)
    for entry in result.content["annotations"]:
        assert object_kind(entry) == "point" and entry["area"] == 0
        assert (entry["point_coords"], entry["point_labels"]) == ([expected], [1])
    (note,) = result.notes
    assert (note.rule, note.kind, note.count) == ("box_is_point", "repaired", 4)
    assert note.cases[0].box is not None and "bbox" in content["annotations"][0]
    content["annotations"][3]["bbox"] = [5, 5, 9, 9]
    assert "box_is_point" not in rules(canonical(content))


def test_small_boxes_are_boxes_with_an_outline_or_in_shares_of_the_image() -> None:
    content = coco(1, 1)
    content["annotations"][0].update(bbox=[0.25, 0.5, 0.25, 0.5])
    assert object_kind(first(content)) == "box"
    content["annotations"][0].update(bbox=[10, 10, 1, 1], segmentation=SQUARE)
    assert object_kind(first(content)) == "mask"


def test_points_in_shares_of_the_image_are_a_contradiction() -> None:
    content = of_points([0.25, 0.5])
    content["annotations"][1]["point_coords"] = [[0.5, 1.0]]
    (note,) = canonical(content).notes
    assert (note.kind, note.rule, note.count) == ("contradiction", "points_normalized", 2) and note.remedy
    content["annotations"][1]["point_coords"] = [[0.5, 1.5]]
    assert rules(canonical(content)) == {}
    content = of_points(point_coords=None, keypoints=[1, 0, 2])
    assert rules(canonical(content)) == {"keypoints_as_points": 1, "points_normalized": 1}


def test_background_points_are_kept_where_they_are_valid() -> None:
    content = coco(3, 1)
    content["images"][0]["background_points"] = [[1, 2], ["3", 4.5], [WIDTH, 1], [math.nan, 1], "x"]
    content["images"][1]["background_points"] = []
    content["images"][2]["background_points"] = {"x": 1}
    result = canonical(content)
    assert [image.get("background_points") for image in result.content["images"]] == [[[1, 2], [3, 4.5]], None, None]
    assert rules(result) == {"background_point_bad": 3, "background_point_outside": 1}


def test_background_points_of_an_image_listed_twice_are_joined() -> None:
    content = coco(1, 1)
    content["images"][0]["background_points"] = [[1, 2]]
    content["images"].append({**content["images"][0], "id": 9, "background_points": [[3, 4], [1, 2]]})
    (image,) = canonical(content).content["images"]
    assert image["background_points"] == [[1, 2], [3, 4]]


def test_one_object_of_a_merged_image_is_listed_once() -> None:
    content = of_points([3, 4])
    content["images"].append({**content["images"][0], "id": 9})
    content["annotations"].append({**content["annotations"][0], "id": 5, "image_id": 9})
    assert rules(canonical(content)) == {"file_listed_twice": 1, "annotation_twice": 1}


def test_points_are_written_and_read_back(tmp_path: Path) -> None:
    content = of_points([3, 4], ["5", 6], point_labels=[1, 0], attributes={"x": 1})
    content["annotations"][1].update(keypoints=[7, 8, 2])
    content["images"][0]["background_points"] = [[50, 2.5]]
    result = canonical(content)
    path = write_coco(repaired_coco(result), tmp_path / "points.json")
    again = canonicalize(read_coco(path, tmp_path), check_files=False)
    assert again.content == result.content and rules(again) == {}


def test_any_value_may_stand_anywhere() -> None:
    rng = random.Random(5)
    kept = 0
    for _ in range(1500):
        content = coco(1, 3)
        for entry in content["annotations"]:
            for key in ("point_coords", "point_labels", "keypoints", "bbox", "segmentation", "area", "iscrowd"):
                if rng.random() < 0.5:
                    entry[key] = rng.choice(VALUES)
                elif rng.random() < 0.5:
                    entry.pop(key, None)
        content["images"][0]["background_points"] = rng.choice(VALUES)
        result = canonical(content)
        for entry in result.content["annotations"]:
            kept += 1
            coords, labels = entry.get("point_coords", []), entry.get("point_labels", [])
            assert len(coords) == len(labels) and ("point_coords" in entry) is bool(coords)
            assert all(0 <= x < WIDTH and 0 <= y < HEIGHT for x, y in coords) and set(labels) <= {0, 1}
            assert "bbox" in entry or (1 in labels and entry["area"] == 0 and "segmentation" not in entry)
            assert entry["iscrowd"] in (0, 1) and entry["area"] >= 0
        left = len(content["annotations"]) - len(result.content["annotations"])
        assert left <= sum(note.count for note in result.notes if note.kind == "left out")
    assert kept > 1000


@pytest.mark.parametrize("value", VALUES)
def test_readings_of_any_value_are_sound(value: Any) -> None:
    points = read_points({"point_coords": value}, 40, 60)
    assert len(points.coords) == len(points.labels)
    assert points.coords or points.rules or not value
    background = read_background_points([value, value], 40, 60)
    assert background.labels == [0] * len(background.coords)
