"""Boxes pasted as text: one box per line, a list, or a COCO JSON file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..io.coco_masks import clip_box

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_GAP = r"(?:\s*[,;]\s*|\s+)"
_LINE = re.compile(rf"\[?\s*({_NUMBER}){_GAP}({_NUMBER}){_GAP}({_NUMBER}){_GAP}({_NUMBER})\s*\]?(?:{_GAP}(.*))?")
_LONGEST_LINE = 1000
FORM = "x y width height, for instance 12 30 100 80"


@dataclass(frozen=True)
class GivenBox:
    """A box inside an image.

    Attributes:
        corners: x0, y0, x1, y1 in pixels.
        label: index of the class, from 0.
    """

    corners: tuple[float, float, float, float]
    label: int

    @property
    def sides(self) -> list[float]:
        """The box as x, y, width, height."""
        return to_coco_box(self.corners)


def to_coco_box(corners: tuple[float, float, float, float]) -> list[float]:
    """Convert corners x0, y0, x1, y1 to x, y, width, height, rounded to hundredths of a pixel."""
    x0, y0, x1, y1 = corners
    return [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)]


def parse_boxes(
    text: str, names: Sequence[str], size: tuple[int, int], *, file_name: str = "", label: int = 0
) -> list[GivenBox]:
    """Parse boxes and clip them to the image.

    The text has one box per line, ``x y width height`` separated by blanks or commas and optionally followed by a class
    name; empty lines and lines that start with # are skipped. Or it is JSON: a list of ``[x, y, width, height]``, a
    list of COCO annotations, or a COCO JSON file, of which the annotations of the image are used.

    Args:
        text: the pasted text.
        names: class names of the network.
        size: (height, width) of the image.
        file_name: file name of the image, by which it is found in a COCO JSON file of several images.
        label: class of boxes without a class name.

    Raises:
        ValueError: a line or entry is wrong, or no box is given. The message names the line or entry.
    """
    content = _read_json(text)
    found = _read_lines(text) if content is None else _read_entries(content, file_name)
    boxes = [make_box(where, sides, name, names, size, label) for where, sides, name in found]
    if not boxes:
        raise ValueError(f"the text contains no box: write one box per line, {FORM}")
    return boxes


def make_box(
    where: str, sides: Sequence[Any], name: str | None, names: Sequence[str], size: tuple[int, int], label: int = 0
) -> GivenBox:
    """Check a box and clip it to the image.

    Args:
        where: name of the box in messages.
        sides: x, y, width, height, not yet checked.
        name: class name; None or "" = ``label``.
        names, size, label: see ``parse_boxes``.

    Raises:
        ValueError: the box is not four finite numbers, has no area or is not inside the image, or an unknown class.
    """
    if len(sides) != 4 or not all(is_finite_number(value) for value in sides):
        raise ValueError(f"{where}: a box must be four numbers, {FORM}")
    values = [float(value) for value in sides]
    written = " ".join(f"{value:g}" for value in values)
    if min(values[2:]) <= 0:
        raise ValueError(f"{where}: the box {written} has no area; write {FORM}")
    corners = clip_box(values, size)
    if corners is None:
        raise ValueError(
            f"{where}: less than half a pixel of the box {written} is inside the image of {size[1]} x {size[0]} pixels"
        )
    if name and name not in names:
        known = ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")
        raise ValueError(f"{where}: the network has no class '{name[:40]}'; its classes: {known}")
    x0, y0, x1, y1 = corners
    return GivenBox((x0, y0, x1, y1), list(names).index(name) if name else label)


def _read_lines(text: str) -> Iterator[tuple[str, list[float], str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip().rstrip(",")
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line) if len(line) <= _LONGEST_LINE else None
        if match is None:
            raise ValueError(
                f"line {number}: '{line[:40]}' is not a box; write {FORM}, optionally followed by a class name"
            )
        yield f"line {number}", [float(value) for value in match.groups()[:4]], (match[5] or "").strip(" '\"")


def _read_json(text: str) -> Any:
    """Parse JSON; None if the text is not JSON but lines."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        first = text.strip().splitlines()[0]
        if len(first) <= _LONGEST_LINE and _LINE.fullmatch(first.strip().rstrip(",")):
            return None  # one list in brackets per line
        raise ValueError(f"the JSON text cannot be parsed: {error}") from error


def is_finite_number(value: Any) -> bool:
    """Return whether a value of parsed JSON is a finite number; True and False are not numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond the range of float
        return False


def _read_entries(content: Any, file_name: str) -> Iterator[tuple[str, Sequence[Any], str]]:
    names: dict[Any, str] = {}
    if isinstance(content, dict) and "annotations" in content:
        names = _read_categories(content)
        content = _select_annotations(content, file_name)
    elif isinstance(content, dict) or _is_numbers(content):
        content = [content]
    if not isinstance(content, list):
        raise ValueError("the JSON text is neither a list of boxes nor a COCO JSON file with annotations")
    for number, entry in enumerate(content, start=1):
        where, name = f"box {number}", ""
        if isinstance(entry, dict):
            known = names.get(_as_id(entry.get("category_id")), "")
            name = str(entry.get("category", entry.get("label", known)) or "")
            entry = entry.get("bbox")
        if not isinstance(entry, list):
            raise ValueError(f"{where} is neither a list x, y, width, height nor an annotation with a bbox")
        yield where, entry, name


def _is_numbers(content: Any) -> bool:
    return isinstance(content, list) and len(content) == 4 and all(isinstance(v, (int, float)) for v in content)


def _as_id(value: Any) -> Any:
    """Return an id of a COCO JSON file; a list or object, which cannot be one, as text."""
    return value if isinstance(value, (int, float, str, type(None))) else repr(value)


def _read_categories(content: Mapping[str, Any]) -> dict[Any, str]:
    try:
        return {_as_id(category["id"]): str(category["name"]) for category in content.get("categories", [])}
    except (KeyError, TypeError) as error:
        raise ValueError("the categories of the COCO JSON file have no id and name") from error


def _select_annotations(content: Mapping[str, Any], file_name: str) -> list[Any]:
    """Return the annotations of the only annotated image, or of the image with a file name."""
    annotations, images = content["annotations"], content.get("images") or []
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise ValueError("the images of the COCO JSON file are not a list of objects")
    if not isinstance(annotations, list) or not all(isinstance(entry, dict) for entry in annotations):
        raise ValueError("the annotations of the COCO JSON file are not a list of objects with a bbox")
    if len({_as_id(entry.get("image_id")) for entry in annotations}) <= 1:
        return annotations
    matching = [
        image.get("id")
        for image in images
        if file_name and re.split(r"[\\/]", str(image.get("file_name")))[-1] == file_name
    ]
    if len(matching) != 1:
        raise ValueError(
            f"the COCO JSON file has {len(images)} images, {len(matching)} of them with the name '{file_name}': "
            "paste the annotations of one image"
        )
    return [entry for entry in annotations if entry.get("image_id") == matching[0]]
