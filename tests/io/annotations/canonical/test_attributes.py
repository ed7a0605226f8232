"""Area and iscrowd."""

import math
from typing import Any

import pytest

from depthbox.io.annotations.canonical.attributes import compute_area, convert_area, is_sound_area, read_crowd


@pytest.mark.parametrize(
    ("entry", "value", "rule"),
    [
        ({}, 0, ""),
        ({"iscrowd": 0}, 0, ""),
        ({"iscrowd": None}, 0, ""),
        ({"iscrowd": False}, 0, ""),
        ({"iscrowd": "0"}, 0, ""),
        ({"iscrowd": 1}, 1, "crowd"),
        ({"iscrowd": True}, 1, "crowd"),
        ({"iscrowd": 1.0}, 1, "crowd"),
        ({"iscrowd": "1"}, 1, "crowd"),
        ({"iscrowd": 2}, 0, "crowd_invalid"),
        ({"iscrowd": "yes"}, 0, "crowd_invalid"),
        ({"iscrowd": [1]}, 0, "crowd_invalid"),
        ({"iscrowd": math.nan}, 0, "crowd_invalid"),
        ({"ignore": 1}, 1, "ignored"),
        ({"iscrowd": 0, "ignore": True}, 1, "ignored"),
        ({"iscrowd": 1, "ignore": 1}, 1, "crowd"),
        ({"ignore": 0}, 0, ""),
        ({"ignore": []}, 0, ""),
    ],
)
def test_crowds_and_ignored_objects_are_recognized(entry: dict[str, Any], value: int, rule: str) -> None:
    flag = read_crowd(entry)
    assert (flag.value, flag.rule) == (value, rule)


def test_positive_numbers_are_areas() -> None:
    assert is_sound_area(0.5)
    assert not any(is_sound_area(area) for area in (0, -1, math.nan, math.inf, "3", True, None, 10**400))
    assert convert_area("3.5") == 3.5
    assert convert_area("-3") is None
    assert convert_area([3]) is None


def test_areas_are_those_of_outlines_or_boxes() -> None:
    box = [0, 0, 10, 10]
    assert compute_area(None, box) == 100
    assert compute_area([[0, 0, 10, 0, 0, 10]], box) == 50
    assert compute_area([[0, 0, 10, 0, 0, 10], [0, 0, 2, 0, 2, 2, 0, 2]], box) == 54
    assert compute_area({"size": [2, 2], "counts": [1, 2, 1]}, box) == 2
    assert compute_area([[0, 0, 1, 1, 2, 2]], box) == 100
