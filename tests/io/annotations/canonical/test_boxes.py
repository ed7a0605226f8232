"""Boxes of objects."""

import math
from typing import Any

import pytest

from depthbox.io.annotations.canonical.boxes import box_fault, convert_box, is_outside, is_sound_box, passes_border


@pytest.mark.parametrize("box", [[0, 0, 1, 1], [-5, -5.5, 20, 0.3]])
def test_four_finite_numbers_of_positive_area_are_sound(box: list[float]) -> None:
    assert is_sound_box(box)


@pytest.mark.parametrize(
    ("box", "rule"),
    [
        ([1, 2, 3], "box_malformed"),
        ([1, 2, 3, 4, 5], "box_malformed"),
        (["a", 2, 3, 4], "box_malformed"),
        ([True, 2, 3, 4], "box_malformed"),
        ([[1], 2, 3, 4], "box_malformed"),
        ("1 2 3 4", "box_malformed"),
        ({"x": 1}, "box_malformed"),
        ([1, 2, math.nan, 4], "box_not_finite"),
        ([1, 2, 3, math.inf], "box_not_finite"),
        ([1, 10**400, 3, 4], "box_not_finite"),
        ([1, 2, 1e12, 4], "box_not_finite"),
        ([1, 2, 0, 4], "box_no_area"),
        ([1, 2, 3, -4], "box_no_area"),
        ([1, 2, 1e-200, 1e-200], "box_no_area"),
    ],
)
def test_other_boxes_have_a_fault(box: Any, rule: str) -> None:
    assert not is_sound_box(box)
    assert box_fault(convert_box(box)) == rule


def test_numbers_as_text_and_tuples_are_converted() -> None:
    assert convert_box(["1", "2.5", 3, " 4 "]) == [1, 2.5, 3, 4]
    assert convert_box((1, 2, 3, 4)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("box", "outside", "beyond"),
    [
        ([0, 0, 60, 40], False, False),
        ([-1, -1, 62, 42], False, False),
        ([-1.5, 0, 10, 10], False, True),
        ([50, 30, 10, 11.5], False, True),
        ([60, 0, 5, 5], True, True),
        ([0, 40, 5, 5], True, True),
        ([-5, 0, 5, 5], True, True),
        ([0, -5, 5, 5], True, True),
    ],
)
def test_boxes_at_the_border(box: list[float], outside: bool, beyond: bool) -> None:
    assert is_outside(box, 40, 60) is outside
    assert passes_border(box, 40, 60) is beyond
