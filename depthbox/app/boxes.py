"""Boxes as people paste them: a box a line, a list, or a COCO json."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..io.coco_json import clip_box

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_GAP = r"(?:\s*[,;]\s*|\s+)"
_LINE = re.compile(rf"\[?\s*({_NUMBER}){_GAP}({_NUMBER}){_GAP}({_NUMBER}){_GAP}({_NUMBER})\s*\]?(?:{_GAP}(.*))?")
FORM = "x y width height, for instance 12 30 100 80"


@dataclass(frozen=True)
class GivenBox:
    """A box within a picture.

    Attributes:
        corners: x0, y0, x1, y1 in pixels.
        label: number of its class, from 0.
    """

    corners: tuple[float, float, float, float]
    label: int

    @property
    def sides(self) -> list[float]:
        """COCO's x, y, width, height."""
        return coco_sides(self.corners)


def coco_sides(corners: tuple[float, float, float, float]) -> list[float]:
    """Corners x0, y0, x1, y1 as COCO's x, y, width, height, in hundredths of a pixel."""
    x0, y0, x1, y1 = corners
    return [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)]


def parse_boxes(
    text: str, names: Sequence[str], size: tuple[int, int], *, picture: str = "", label: int = 0
) -> list[GivenBox]:
    """The boxes that a text holds, cut to the picture.

    The text is a box a line, ``x y width height`` with blanks or commas between and perhaps the name of its class
    behind (empty lines and those that start with # are left out), or a json: a list of ``[x, y, width, height]``, a
    list of COCO annotations, or a COCO json, of which the picture's annotations are taken.

    Args:
        text: what was pasted.
        names: of the network's classes.
        size: (height, width) of the picture.
        picture: its file name, to find it in a COCO json of several images.
        label: class of boxes that name none.

    Raises:
        ValueError: what is wrong, and in which line or entry; no box at all.
    """
    content = _read_json(text)
    rows = _lines(text) if content is None else _entries(content, picture)
    boxes = [make_box(where, sides, name, names, size, label) for where, sides, name in rows]
    if not boxes:
        raise ValueError(f"there is no box in it: write a box a line, {FORM}")
    return boxes


def make_box(
    where: str, sides: Sequence[Any], name: str | None, names: Sequence[str], size: tuple[int, int], label: int = 0
) -> GivenBox:
    """Check a box and cut it to the picture.

    Args:
        where: says in messages which box it is.
        sides: x, y, width, height; of any type.
        name: of its class; None or "" = ``label``.
        names, size, label: see ``parse_boxes``.

    Raises:
        ValueError: no four finite numbers, no area, outside the picture, or an unknown class.
    """
    if len(sides) != 4 or not all(isinstance(v, (int, float)) and math.isfinite(v) for v in sides):
        raise ValueError(f"{where}: a box is four numbers, {FORM}")
    values = [float(value) for value in sides]
    shown = " ".join(f"{value:g}" for value in values)
    if min(values[2:]) <= 0:
        raise ValueError(f"{where}: the box {shown} has no area; it is {FORM}")
    corners = clip_box(values, size)
    if corners is None:
        raise ValueError(f"{where}: the box {shown} lies outside the picture, which is {size[1]} x {size[0]} pixels")
    if name and name not in names:
        known = ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")
        raise ValueError(f"{where}: the network has no class '{name}'; it knows {known}")
    x0, y0, x1, y1 = corners
    return GivenBox((x0, y0, x1, y1), list(names).index(name) if name else label)


def _lines(text: str) -> Iterator[tuple[str, list[float], str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip().rstrip(",")
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(
                f"line {number}: '{line[:40]}' is no box; write {FORM}, and the class behind it if you like"
            )
        yield f"line {number}", [float(value) for value in match.groups()[:4]], (match[5] or "").strip(" '\"")


def _read_json(text: str) -> Any:
    """The content of a json; None where the text is no json, but lines."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        first = text.strip().splitlines()[0]
        if _LINE.fullmatch(first.strip().rstrip(",")):
            return None  # a list in brackets a line
        raise ValueError(f"the json cannot be read: {error}") from error


def _entries(content: Any, picture: str) -> Iterator[tuple[str, Sequence[Any], str]]:
    names: dict[Any, str] = {}
    if isinstance(content, dict) and "annotations" in content:
        names = _categories(content)
        content = _of_picture(content, picture)
    elif isinstance(content, dict) or _is_numbers(content):
        content = [content]
    if not isinstance(content, list):
        raise ValueError("the json is neither a list of boxes nor a COCO json with annotations")
    for number, entry in enumerate(content, start=1):
        where, name = f"box {number}", ""
        if isinstance(entry, dict):
            name = str(entry.get("category", entry.get("label", names.get(entry.get("category_id"), ""))) or "")
            entry = entry.get("bbox")
        if not isinstance(entry, list):
            raise ValueError(f"{where}: neither a list x, y, width, height nor an annotation with a bbox")
        yield where, entry, name


def _is_numbers(content: Any) -> bool:
    return isinstance(content, list) and len(content) == 4 and all(isinstance(v, (int, float)) for v in content)


def _categories(content: Mapping[str, Any]) -> dict[Any, str]:
    try:
        return {category["id"]: str(category["name"]) for category in content.get("categories", [])}
    except (KeyError, TypeError) as error:
        raise ValueError("the categories of the json have no id and name") from error


def _of_picture(content: Mapping[str, Any], picture: str) -> list[Any]:
    """The annotations of a picture: those of the only image, or of the one with its name."""
    annotations, images = content["annotations"], content.get("images") or []
    if not isinstance(annotations, list) or not all(isinstance(row, dict) for row in annotations):
        raise ValueError("the annotations of the json are no list of objects with a bbox")
    if len({row.get("image_id") for row in annotations}) <= 1:
        return annotations
    mine = [
        image.get("id")
        for image in images
        if re.split(r"[\\/]", str(image.get("file_name")))[-1] == picture and picture
    ]
    if len(mine) != 1:
        raise ValueError(
            f"the json is about {len(images)} images, and {len(mine)} of them are named '{picture}': "
            "paste the annotations of one"
        )
    return [row for row in annotations if row.get("image_id") == mine[0]]
