"""Lines of YOLO label files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..documents import parse_number
from ..shapes import ObjectShape, box_shape, polygon_shape

# Coordinates are shares of the image. Boxes may pass the border a little; larger numbers are pixels.
_LOWEST_SHARE, _HIGHEST_SHARE = -1.0, 2.0
_SEPARATORS = re.compile(r"[\s,;]+")
_DECIMAL_COMMA = re.compile(r"^-?\d+(,\d+)?$")
_BOX_VALUES = 4
_VISIBILITIES = (0.0, 1.0, 2.0)
_PIXELS = (
    "is not a share of the image's width or height; labels in pixels have to be divided by the image's width (x, width)"
    " and height (y, height)"
)
_POSE = "looks like a pose label; add kpt_shape: [number of keypoints, 3] to the YAML file"


class LabelLineError(ValueError):
    """A line that is not a YOLO label. The message names the cause and the remedy."""


@dataclass(frozen=True)
class YoloLabel:
    """One object in shares of the image.

    Attributes:
        number: of the class.
        values: center x, center y, width and height of a box; or x, y of each corner of a polygon.
        is_box: whether the values are those of a box.
    """

    number: int
    values: tuple[float, ...]
    is_box: bool

    def to_pixels(self, height: int, width: int) -> ObjectShape:
        """Return the object in pixels of an upright image."""
        scaled = [value * (height if i % 2 else width) for i, value in enumerate(self.values)]
        if self.is_box:
            x, y, w, h = scaled
            return box_shape(x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        return polygon_shape(list(zip(scaled[::2], scaled[1::2], strict=True)))


@dataclass
class LabelLines:
    """Content of one label file.

    Attributes:
        labels: objects of the file.
        problems: a line for each line of the file that is not a label.
        confidences: number of labels with a confidence.
        decimal_commas: number of lines with decimal commas.
    """

    labels: list[YoloLabel] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    confidences: int = 0
    decimal_commas: int = 0


def parse_labels(text: str, classes: Sequence[int] | frozenset[int], keypoints: int = 0) -> LabelLines:
    """Return the objects of a label file.

    Args:
        text: content of the file.
        classes: class numbers of the dataset.
        keypoints: numbers of a pose label after its box; 0 = the labels are not poses.
    """
    found = LabelLines()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = _split(line, found)
            label, confident = _parse(values, keypoints)
            if label.number not in classes:
                raise LabelLineError(f"class {label.number} is not one of the {len(classes)} classes; correct 'names'")
        except LabelLineError as error:
            found.problems.append(f"line {number}: {error}")
            continue
        found.labels.append(label)
        found.confidences += confident
    return found


def _split(line: str, found: LabelLines) -> list[str]:
    values = line.split()
    if len(values) > _BOX_VALUES and all(map(_DECIMAL_COMMA.match, values)) and any("," in v for v in values[1:]):
        found.decimal_commas += 1
        return [value.replace(",", ".") for value in values]
    return [value for value in _SEPARATORS.split(line.strip()) if value]


def _parse(values: Sequence[str], keypoints: int) -> tuple[YoloLabel, bool]:
    """Return the label of a line, and whether it has a confidence."""
    number = _class_number(values[0] if values else "")
    numbers = []
    for text in values[1:]:
        value = parse_number(text)
        if value is None:
            raise LabelLineError(f"'{text[:20]}' is not a number; correct the line")
        numbers.append(value)
    count = len(numbers)
    if count < _BOX_VALUES:
        raise LabelLineError(f"{count + 1} numbers, but a box has 5 (class, x, y, width, height); correct the line")
    if keypoints and count in (_BOX_VALUES + keypoints, _BOX_VALUES + keypoints + 1):
        return _box(number, numbers), count > _BOX_VALUES + keypoints
    if count in (_BOX_VALUES, _BOX_VALUES + 1):
        return _box(number, numbers), count > _BOX_VALUES
    if keypoints:
        raise LabelLineError(
            f"{count + 1} numbers, but kpt_shape in the YAML file asks for {1 + _BOX_VALUES + keypoints}; correct it"
        )
    if _is_pose(numbers):
        raise LabelLineError(_POSE)
    return _polygon(number, numbers[: count - count % 2]), bool(count % 2)


def _class_number(text: str) -> int:
    number = parse_number(text)
    if number is None or number != int(number):
        raise LabelLineError(f"'{text[:20]}' is not a class number; correct the line")
    return int(number)


def _box(number: int, numbers: Sequence[float]) -> YoloLabel:
    x, y, width, height = numbers[:_BOX_VALUES]
    _require_shares(numbers[:_BOX_VALUES])
    if width < 0 or height < 0:
        raise LabelLineError(f"the box has a negative side ({width:g} x {height:g}); correct the line")
    _require_inside((x - width / 2, x + width / 2), (y - height / 2, y + height / 2))
    return YoloLabel(number, (x, y, width, height), True)


def _polygon(number: int, numbers: Sequence[float]) -> YoloLabel:
    _require_shares(numbers)
    _require_inside(numbers[::2], numbers[1::2])
    return YoloLabel(number, tuple(numbers), False)


def _require_shares(numbers: Sequence[float]) -> None:
    for value in numbers:
        if not _LOWEST_SHARE <= value <= _HIGHEST_SHARE:
            raise LabelLineError(f"{value:g} {_PIXELS}")


def _require_inside(xs: Sequence[float], ys: Sequence[float]) -> None:
    """Require that the object touches the image, whose coordinates are 0 to 1."""
    if max(xs) < 0 or min(xs) > 1 or max(ys) < 0 or min(ys) > 1:
        value = next(value for value in (*xs, *ys) if not 0 <= value <= 1)
        raise LabelLineError(f"the object lies outside the image: {value:g} {_PIXELS}")


def _is_pose(numbers: Sequence[float]) -> bool:
    """Return whether the numbers after the box look like keypoints of x, y and visibility."""
    rest = numbers[_BOX_VALUES:]
    if len(rest) < 6 or len(rest) % 3:
        return False
    visibilities = rest[2::3]
    return all(value in _VISIBILITIES for value in visibilities) and (len(numbers) % 2 == 1 or 2.0 in visibilities)
