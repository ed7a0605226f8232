"""Points that may be any JSON value: nothing crashes, and what is left out is counted."""

import math
import random
from typing import Any

import pytest
from coco_toy import HEIGHT, WIDTH, canonical, coco

from depthbox.io.annotations.canonical.points import read_background_points, read_points

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e300, math.nan, math.inf, 10**400, "", "text", "7", [], {}, [1, 2], [[1, 2]], [["3", 4]],
    [[1, 2], [3]], [[[1]]], {"x": 1}, ["a", 1], [1, 1], [0], [2], [[math.nan, 1]], [1, 2, 2], [1, 2, 0], [[1, 2, 1]],
)  # fmt: skip


def test_any_value_may_stand_anywhere() -> None:
    rng = random.Random(5)
    kept = 0
    for _ in range(500):
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
    assert kept > 400


@pytest.mark.parametrize("value", VALUES)
def test_readings_of_any_value_are_sound(value: Any) -> None:
    points = read_points({"point_coords": value}, 40, 60)
    assert len(points.coords) == len(points.labels)
    assert points.coords or points.rules or not value
    background = read_background_points([value, value], 40, 60)
    assert background.labels == [0] * len(background.coords)
