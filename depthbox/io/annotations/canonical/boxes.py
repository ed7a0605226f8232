"""Boxes of objects in canonical form: four finite numbers of positive area."""

from __future__ import annotations

from typing import Any, TypeGuard

from .ids import to_number

_NUMBERS = frozenset({int, float})
# Beyond any image; products of two stay finite.
_LARGEST = 1e9
# Rounded boxes may pass the border by that many pixels without a note.
_TOLERANCE = 1.0


def is_sound_box(box: Any) -> TypeGuard[list[float]]:
    """Return whether a value is [x, y, width, height] of finite numbers and positive area."""
    if type(box) is not list or len(box) != 4 or not _NUMBERS.issuperset(map(type, box)):
        return False
    x, y, width, height = box
    return (
        -_LARGEST < x < _LARGEST
        and -_LARGEST < y < _LARGEST
        and 0 < width < _LARGEST
        and 0 < height < _LARGEST
        and width * height > 0  # products of tiny numbers become 0
    )


def convert_box(box: Any) -> list[float] | None:
    """Return the four numbers of a box of numbers, texts or a tuple; None if it is anything else."""
    if not isinstance(box, list | tuple) or len(box) != 4:
        return None
    numbers = [number for value in box if (number := to_number(value)) is not None]
    return numbers if len(numbers) == 4 else None


def box_fault(numbers: list[float] | None) -> str:
    """Return the rule of the note about a box that is not sound."""
    if numbers is None:
        return "box_malformed"
    if any(not -_LARGEST < number < _LARGEST for number in numbers):
        return "box_not_finite"
    return "box_no_area"


def is_outside(box: list[float], height: int, width: int) -> bool:
    """Return whether no part of a box lies inside the image."""
    return box[0] >= width or box[1] >= height or box[0] + box[2] <= 0 or box[1] + box[3] <= 0


def passes_border(box: list[float], height: int, width: int) -> bool:
    """Return whether a box passes the border of the image by more than rounding explains."""
    x, y, box_width, box_height = box
    return (
        x < -_TOLERANCE or y < -_TOLERANCE or x + box_width > width + _TOLERANCE or y + box_height > height + _TOLERANCE
    )
