"""Outlines of objects in canonical form: polygons, or a mask of the image's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..notes import shorten
from .ids import to_number
from .rle import measure_runs

_NUMBERS = frozenset({int, float})
# Polygons are drawn edge by edge: coordinates far beyond the image would take all memory.
_MAX_SIDES = 10


@dataclass(frozen=True)
class Outline:
    """An outline as far as it can be used.

    Attributes:
        value: polygons or RLE; None = the outline is missing or cannot be used.
        rules: rules of the notes to make.
        unchecked: whether ``value`` is a compressed RLE whose counts are still to be measured.
    """

    value: Any = None
    rules: tuple[str, ...] = ()
    unchecked: bool = False


NO_OUTLINE = Outline()
_BAD = Outline(rules=("outline_bad",))
_OTHER_SIZE = Outline(rules=("outline_other_size",))


def read_outline(segmentation: Any, height: int, width: int) -> Outline:
    """Read the ``segmentation`` of an annotation.

    Args:
        segmentation: any value; None, [], {} and [[]] mean that the object has no outline.
        height, width: of the image.
    """
    if is_empty(segmentation):
        return NO_OUTLINE
    if isinstance(segmentation, dict):
        return _read_rle(segmentation, height, width)
    if not isinstance(segmentation, list | tuple):
        return _BAD
    polygons = list(segmentation)
    repaired = False
    if not all(is_polygon(polygon, height, width) for polygon in polygons):
        polygons = _convert_polygons(polygons)
        repaired = polygons != list(segmentation)
    good = [polygon for polygon in polygons if is_polygon(polygon, height, width)]
    if not good:
        return _BAD
    rules = ("outline_repaired",) * repaired + ("polygon_bad",) * (len(good) < len(polygons))
    return Outline(good if rules else segmentation, rules)


def is_empty(segmentation: Any) -> bool:
    """Return whether a ``segmentation`` is empty: None, [], {}, "" or a list of empty lists."""
    if segmentation is None or (isinstance(segmentation, str | dict | list | tuple) and not segmentation):
        return True
    return isinstance(segmentation, list) and all(part is None or part == [] for part in segmentation)


def is_polygon(value: Any, height: int, width: int) -> bool:
    """Return whether a value is a polygon [x, y, x, y, ...] of at least three points, partly inside the image."""
    if type(value) is not list or len(value) < 6 or len(value) % 2 or not _NUMBERS.issuperset(map(type, value)):
        return False
    columns, rows = value[::2], value[1::2]
    left, right, top, bottom = min(columns), max(columns), min(rows), max(rows)
    limit = _MAX_SIDES * (height + width)
    if not (-limit < left < right < limit and -limit < top < bottom < limit):
        return False
    total = sum(value)
    return total == total and left < width and top < height and right > 0 and bottom > 0  # not NaN


def polygons_area(polygons: list[list[float]]) -> float:
    """Return the sum of the areas of polygons in square pixels."""
    total = 0.0
    for polygon in polygons:
        columns, rows = polygon[::2], polygon[1::2]
        shifted = zip(columns, rows, columns[1:] + columns[:1], rows[1:] + rows[:1], strict=True)
        total += abs(sum(x0 * y1 - x1 * y0 for x0, y0, x1, y1 in shifted)) / 2
    return total


def box_of_outline(outline: Any) -> list[float]:
    """Return [x, y, width, height] of polygons or of a compressed or uncompressed RLE."""
    if isinstance(outline, list):
        columns = [value for polygon in outline for value in polygon[::2]]
        rows = [value for polygon in outline for value in polygon[1::2]]
        left, top = min(columns), min(rows)
        return [left, top, max(columns) - left, max(rows) - top]
    import pycocotools.mask as mask_util

    if isinstance(outline["counts"], list):
        outline = mask_util.frPyObjects(outline, *outline["size"])
    return [float(value) for value in mask_util.toBbox(outline)]


def find_outline_box(segmentation: Any, height: int, width: int) -> list[float] | None:
    """Return [x, y, width, height] of the ``segmentation`` of an annotation; None if it cannot be used.

    Args:
        segmentation: any value.
        height, width: of the image.
    """
    outline = read_outline(segmentation, height, width)
    if outline.value is None:
        return None
    if outline.unchecked and not measure_runs([outline.value["counts"]], [height * width]).sound[0]:
        return None
    return box_of_outline(outline.value)


def describe_outline(segmentation: Any) -> str:
    """Return a ``segmentation`` of any kind in words, for notes."""
    if isinstance(segmentation, dict):
        return f"a mask of the size {shorten(segmentation.get('size'))} (height, width)"
    return f"segmentation {shorten(segmentation)}"


def _convert_polygons(value: list[Any]) -> list[Any]:
    """Convert a flat list, points as pairs and numbers as text to a list of polygons of numbers."""
    if not any(isinstance(part, list) for part in value) or _are_pairs(value):
        value = [value]
    return [_convert_polygon(polygon) for polygon in value]


def _convert_polygon(polygon: Any) -> Any:
    if not isinstance(polygon, list | tuple):
        return polygon
    if _are_pairs(polygon):
        polygon = [value for pair in polygon for value in pair]
    numbers = [to_number(value) for value in polygon]
    return polygon if None in numbers else numbers


def _are_pairs(value: Any) -> bool:
    return len(value) >= 3 and all(
        isinstance(pair, list) and len(pair) == 2 and None not in [to_number(number) for number in pair]
        for pair in value
    )


def _read_rle(rle: dict[str, Any], height: int, width: int) -> Outline:
    size, counts = rle.get("size"), rle.get("counts")
    if not (isinstance(size, list) and len(size) == 2):
        return _BAD
    numbers = [to_number(side) for side in size]
    if None in numbers:
        return _BAD
    if numbers != [height, width]:
        return _OTHER_SIZE
    value = rle if [type(side) for side in size] == [int, int] else {**rle, "size": [height, width]}
    if isinstance(counts, str):
        return Outline(value, unchecked=True)
    sound = isinstance(counts, list) and are_runs(counts, height * width) and sum(counts[1::2]) > 0
    return Outline(value) if sound else _BAD


def are_runs(counts: Any, pixels: int) -> bool:
    """Return whether uncompressed counts are whole numbers that fill an image."""
    if not isinstance(counts, list) or not {int}.issuperset(map(type, counts)):
        return False
    return min(counts, default=-1) >= 0 and sum(counts) == pixels
