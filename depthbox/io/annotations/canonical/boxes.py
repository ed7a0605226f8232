"""Boxes of objects in canonical form: four finite numbers of positive area."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from ..notes import shorten
from .ids import to_number
from .outlines import describe_outline, find_outline_box, is_empty
from .points import PointReading, describe_points

Entry = dict[str, Any]

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


def finite_box(value: Any) -> tuple[float, float, float, float] | None:
    """Return the numbers of a box, sound or not, if they can be drawn; None otherwise."""
    numbers = convert_box(value)
    if numbers is None or box_fault(numbers) == "box_not_finite":
        return None
    x, y, width, height = map(float, numbers)
    return x, y, width, height


def is_within(box: list[float], height: int, width: int) -> bool:
    """Return whether a box overlaps the image and passes its border by no more than rounding explains."""
    x, y, box_width, box_height = box
    return (
        -_TOLERANCE <= x < width
        and -_TOLERANCE <= y < height
        and 0 < x + box_width <= width + _TOLERANCE
        and 0 < y + box_height <= height + _TOLERANCE
    )


def is_outside(box: list[float], height: int, width: int) -> bool:
    """Return whether no part of a box lies inside the image."""
    return box[0] >= width or box[1] >= height or box[0] + box[2] <= 0 or box[1] + box[3] <= 0


def passes_border(box: list[float], height: int, width: int) -> bool:
    """Return whether a box passes the border of the image by more than rounding explains."""
    x, y, box_width, box_height = box
    return (
        x < -_TOLERANCE or y < -_TOLERANCE or x + box_width > width + _TOLERANCE or y + box_height > height + _TOLERANCE
    )


def boxes_are_points(entries: Sequence[Any]) -> bool:
    """Return whether all boxes of a file are at most one pixel wide and high, as some tools write points.

    Boxes of objects with an outline, and boxes in shares of the image, are not points.
    """
    found = beyond_unit = False
    for entry in entries:
        box = convert_box(entry.get("bbox")) if type(entry) is dict else None
        if box is None or box_fault(box) == "box_not_finite":
            continue
        x, y, width, height = box
        if not (0 <= width <= 1 and 0 <= height <= 1 and is_empty(entry.get("segmentation"))):
            return False
        found = True
        beyond_unit = beyond_unit or x + width > 1 or y + height > 1
    return found and beyond_unit


def with_box_center(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an annotation with the center of its box as point and without the box; points that it has stay.

    An annotation whose box is not four finite numbers is returned as it is.
    """
    box = convert_box(entry.get("bbox"))
    if box is None or box_fault(box) == "box_not_finite":
        return entry
    x, y, width, height = box
    changed = {key: value for key, value in entry.items() if key != "bbox"}
    if is_empty(entry.get("point_coords")):
        changed |= {"point_coords": [[x + width / 2, y + height / 2]], "point_labels": [1]}
    return changed


class BoxReader:
    """Reads boxes that are missing, of another form or not inside their image.

    Args:
        note: takes (rule, annotation, detail) of a finding.
    """

    def __init__(self, note: Callable[[str, Entry, Any], None]) -> None:
        self._note = note

    def read(self, entry: Entry, height: int, width: int, points: PointReading) -> list[float] | None:
        """Return the box of an annotation, that of its outline if it has none.

        Args:
            entry: an annotation with values of any kind.
            height, width: of the image.
            points: of the annotation.

        Returns:
            The box; None and a note if there is no good one.
        """
        given = entry.get("bbox")
        if given is None or (isinstance(given, list | str) and not given):
            box = self._from_outline(entry, height, width, points)
            return box if box is None or self._is_inside(box, entry, height, width) else None
        box = given if is_sound_box(given) else self._convert(given, entry)
        if box is not None and self._is_inside(box, entry, height, width):
            return box
        if points.has_positive:
            self._note("point_instead_of_box", entry, lambda: describe_points(entry))
        return None

    def _convert(self, given: Any, entry: Entry) -> list[float] | None:
        numbers = convert_box(given)
        if is_sound_box(numbers):
            if any(isinstance(value, str) for value in given):
                self._note("box_number_text", entry, lambda: f"bbox {shorten(given)}")
            return numbers
        self._note(box_fault(numbers), entry, lambda: f"bbox {shorten(given)}")
        return None

    def _from_outline(self, entry: Entry, height: int, width: int, points: PointReading) -> list[float] | None:
        outline = entry.get("segmentation")
        box = find_outline_box(outline, height, width)
        if is_sound_box(box):
            self._note("box_from_outline", entry, "")
            return box
        if not points.given:
            self._note("box_missing", entry, "no bbox and " + ("no outline" if is_empty(outline) else "a bad outline"))
        elif not points.has_positive:
            self._note("point_not_positive", entry, lambda: describe_points(entry))
        elif not is_empty(outline):
            self._note("outline_bad", entry, lambda: describe_outline(outline))
        return None

    def _is_inside(self, box: list[float], entry: Entry, height: int, width: int) -> bool:
        if is_outside(box, height, width):
            self._note("box_outside", entry, lambda: f"bbox {shorten(box)} in {width} x {height}")
            return False
        if passes_border(box, height, width):
            self._note("box_beyond_border", entry, lambda: f"bbox {shorten(box)} in {width} x {height}")
        return True
