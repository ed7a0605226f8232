"""Points of objects and images in canonical form: finite, inside the image, each with a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..notes import shorten
from .ids import to_number
from .outlines import is_empty

_NUMBERS = frozenset({int, float})
_LARGEST = 1e9  # beyond any image
_VISIBLE = 2  # flag of a COCO keypoint that is not hidden
_CENTER = 0.5  # from the index of a pixel to its center


@dataclass(frozen=True)
class PointReading:
    """Points of an annotation as far as they can be used.

    Attributes:
        coords: P points [x, y] in continuous pixels, inside the image.
        labels: P labels, 1 = on the object, 0 = not on it.
        rules: rule of a note -> number of its cases.
        given: whether the annotation has points, usable or not.
        in_unit: whether all coordinates lie within 0..1 as they were written; None = none of them is finite.
    """

    coords: list[list[float]]
    labels: list[int]
    rules: Mapping[str, int]
    given: bool = False
    in_unit: bool | None = None

    @property
    def has_positive(self) -> bool:
        """Return whether a point lies on the object."""
        return 1 in self.labels


NO_POINTS = PointReading([], [], {})


def read_points(entry: Mapping[str, Any], height: int, width: int) -> PointReading:
    """Read ``point_coords`` and ``point_labels`` of an annotation, or its ``keypoints`` if it has no other points.

    Missing labels are 1. Keypoints are indices of pixels: 0.5 is added, and those that are not hidden come first.

    Args:
        entry: an annotation with values of any kind.
        height, width: of the image.
    """
    coords, labels = entry.get("point_coords"), entry.get("point_labels")
    if is_empty(coords) and not is_empty(entry.get("keypoints")):
        return _read_keypoints(entry["keypoints"], height, width)
    if is_empty(coords):
        given = not is_empty(labels)
        return PointReading([], [], {"point_labels_differ": 1} if given else {}, given)
    rules: Counter[str] = Counter()
    pairs = _to_pairs(coords, rules)
    flags = _to_labels(labels, len(pairs), rules)
    if flags is None:
        return PointReading([], [], {**rules, "point_labels_differ": 1}, True)
    in_unit = _in_unit(pairs)
    kept = [
        (pair, flag)
        for pair, flag in zip(pairs, flags, strict=True)
        if _is_usable(pair, height, width, rules) and _is_label(flag, rules)
    ]
    points = [list(pair) for pair, _ in kept if pair is not None]
    return PointReading(points, [flag for _, flag in kept if flag is not None], rules, True, in_unit)


def read_background_points(given: Sequence[Any], height: int, width: int) -> PointReading:
    """Read the lists of points that lie on no object of an image.

    Args:
        given: ``background_points`` of each entry that lists the image.
        height, width: of the image.

    Returns:
        The points; their labels are 0.
    """
    rules: Counter[str] = Counter()
    pairs = [pair for value in given if not is_empty(value) for pair in _to_pairs(value, rules)]
    points = [list(pair) for pair in dict.fromkeys(pairs) if _is_usable(pair, height, width, rules) and pair]
    renamed = Counter({"background_point_outside": rules.pop("point_outside", 0)})
    rules.pop("point_repaired", 0)
    renamed["background_point_bad"] = rules.total()
    return PointReading(points, [0] * len(points), {rule: count for rule, count in renamed.items() if count})


def describe_points(entry: Mapping[str, Any]) -> str:
    """Return the points of an annotation of any kind in words, for notes."""
    keys = ("point_labels", "keypoints") if is_empty(entry.get("point_coords")) else ("point_coords", "point_labels")
    return ", ".join(f"{key} {shorten(entry[key])}" for key in keys if not is_empty(entry.get(key)))


def _read_keypoints(value: Any, height: int, width: int) -> PointReading:
    rules: Counter[str] = Counter()
    numbers = _to_triples(value, rules)
    if numbers is None:
        return PointReading([], [], {"point_malformed": 1}, True)
    triples = list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))
    shown = [triple for triple in triples if triple[2] >= _VISIBLE]
    hidden = [triple for triple in triples if 0 < triple[2] < _VISIBLE]
    pairs = [(x, y) for x, y, _ in (*shown, *hidden)]
    moved = [(x + _CENTER, y + _CENTER) for x, y in pairs]
    points = [list(pair) for pair in moved if _is_usable(pair, height, width, rules)]
    if points:
        rules["keypoints_as_points"] = 1
    return PointReading(points, [1] * len(points), rules, True, _in_unit(pairs))


def _to_triples(value: Any, rules: Counter[str]) -> list[float] | None:
    """Return the numbers x, y, v of keypoints; None if they are anything else."""
    if not isinstance(value, list | tuple):
        return None
    if all(isinstance(part, list | tuple) and len(part) == 3 for part in value):
        value = [number for part in value for number in part]
    if len(value) % 3:
        return None
    if _NUMBERS.issuperset(map(type, value)):
        return [_to_float(number) for number in value]
    found = [to_number(number) for number in value]
    numbers = [_to_float(number) for number in found if number is not None]
    rules["point_repaired"] = 1
    return numbers if len(numbers) == len(found) else None


def _to_pairs(value: Any, rules: Counter[str]) -> list[tuple[float, float] | None]:
    """Return points of a list, None for each that is not a pair of numbers."""
    if not isinstance(value, list | tuple):
        rules["point_malformed"] += 1
        return []
    if len(value) == 2 and None not in [to_number(part) for part in value]:
        value = [value]
        rules["point_repaired"] = 1
    pairs = [_to_pair(part) for part in value]
    rules["point_malformed"] += pairs.count(None)
    if any(isinstance(number, str) for part in value if isinstance(part, list | tuple) for number in part):
        rules["point_repaired"] = 1
    return pairs


def _to_pair(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    x, y = to_number(value[0]), to_number(value[1])
    return None if x is None or y is None else (_to_float(x), _to_float(y))


def _to_float(number: float) -> float:
    """Return a number as float; infinity for one beyond any image, since huge integers are not floats."""
    return float(number) if -_LARGEST < number < _LARGEST else float("inf")


def _to_labels(value: Any, count: int, rules: Counter[str]) -> list[int | None] | None:
    """Return one label per point, None for each that is neither 0 nor 1; None if their number differs."""
    if value is None:
        return [1] * count
    if count == 1 and not isinstance(value, list | tuple):
        value = [value]
        rules["point_repaired"] = 1
    if not isinstance(value, list | tuple) or len(value) != count:
        return None
    numbers = [int(label) if isinstance(label, bool) else to_number(label) for label in value]
    if any(isinstance(label, str) and number in (0, 1) for label, number in zip(value, numbers, strict=True)):
        rules["point_repaired"] = 1
    return [int(number) if number is not None and number in (0, 1) else None for number in numbers]


def _in_unit(pairs: Sequence[tuple[float, float] | None]) -> bool | None:
    values = [value for pair in pairs if pair is not None for value in pair if value != float("inf")]
    return all(0 <= value <= 1 for value in values) if values else None


def _is_usable(pair: tuple[float, float] | None, height: int, width: int, rules: Counter[str]) -> bool:
    """Return whether a point is finite and inside the image; count its fault otherwise. A bad pair is counted."""
    if pair is None:
        return False
    x, y = pair
    if x == float("inf") or y == float("inf"):
        rules["point_not_finite"] += 1
        return False
    if not (0 <= x < width and 0 <= y < height):
        rules["point_outside"] += 1
        return False
    return True


def _is_label(label: int | None, rules: Counter[str]) -> bool:
    rules["point_label_invalid"] += label is None
    return label is not None
