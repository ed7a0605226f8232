"""Images and categories of a COCO json, and the table of its boxes: complete, unique, balanced?"""

from __future__ import annotations

import math
import os
from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from .findings import Example, Findings, shown
from .json import Entry
from .rules import RARE

Id = int | float | str


@dataclass(frozen=True)
class ImageRecord:
    """An image of the json; ``size`` is (height, width) as it says, None where that is unusable."""

    id: Id
    file_name: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class BoxTable:
    """The N boxes that are four finite numbers and belong to a listed image and class.

    Attributes:
        images: all images of the json.
        boxes: (N, 4) float64, as the json has them: x, y, width, height; absurd numbers cut to +-1e9.
        image: (N,) int64, place in ``images``.
        category: (N,) int64, place among the categories.
        crowd: (N,) bool.
        ids: N annotation ids; None where there is none.
    """

    images: tuple[ImageRecord, ...]
    boxes: NDArray[np.float64]
    image: NDArray[np.int64]
    category: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    ids: list[Id | None]

    def example(self, row: int | np.integer, detail: str) -> Example:
        """An example that shows the box of a row."""
        image = self.images[self.image[row]]
        x, y, width, height = self.boxes[row].tolist()
        return Example(detail, image.file_name, image.id, self.ids[int(row)], (x, y, width, height))


def check_images(entries: list[Entry], findings: Findings) -> tuple[ImageRecord, ...]:
    """Check the list of images; those of which two share an id are returned once."""
    records: dict[Id, ImageRecord] = {}
    names: set[str] = set()
    for place, entry in enumerate(entries):
        identity, name = entry.get("id"), entry.get("file_name")
        if not (is_id(identity) and isinstance(name, str) and name):
            what = f"images[{place}] has id {shown(identity)} and file_name {shown(name)}"
            findings.add("json_entry_malformed", Example(what))
            continue
        if identity in records:
            first = records[identity].file_name
            findings.add("image_id_twice", Example(f"the id {shown(identity)} is that of {first} too", name, identity))
            continue
        size = _size(entry)
        records[identity] = ImageRecord(identity, name, size)
        if size is None:
            detail = f"height {shown(entry.get('height'))}, width {shown(entry.get('width'))}"
            findings.add("image_size_invalid", Example(detail, name, identity))
        if type(identity) is not int:
            findings.add("id_not_integer", Example(f"the image id {shown(identity)}", name, identity))
        if os.path.normpath(name) in names:
            findings.add("file_listed_twice", Example(f"again under the id {shown(identity)}", name, identity))
        names.add(os.path.normpath(name))
    return tuple(records.values())


def check_categories(entries: list[Entry], findings: Findings) -> dict[Id, str]:
    """Check the list of categories; returns the names by id, as ids are sorted in training."""
    names: dict[Id, str] = {}
    for place, entry in enumerate(entries):
        identity, name = entry.get("id"), entry.get("name")
        if not (is_id(identity) and isinstance(name, str)):
            what = f"categories[{place}] has id {shown(identity)} and name {shown(name)}"
            findings.add("json_entry_malformed", Example(what))
        elif identity in names:
            findings.add("category_id_twice", Example(f"the id {shown(identity)}: {names[identity]} and {name}"))
        else:
            names[identity] = name
            if type(identity) is not int:
                findings.add("id_not_integer", Example(f"the category id {shown(identity)} of {name}"))
    for name, count in Counter(names.values()).items():
        if count > 1:
            findings.add("category_name_twice", Example(f"{name}: {count} classes"))
    if names and sorted(names, key=_order) != list(range(1, len(names) + 1)):
        shown_ids = ", ".join(str(identity) for identity in sorted(names, key=_order)[:12])
        findings.add("category_ids_gaps", Example(f"{len(names)} classes: {shown_ids}{' ...' * (len(names) > 12)}"))
    return dict(sorted(names.items(), key=lambda item: _order(item[0])))


def check_classes(table: BoxTable, categories: dict[Id, str], findings: Findings) -> dict[str, int]:
    """Check that there are objects of each class; returns their number by name and id, crowds left out."""
    counts = np.bincount(table.category[~table.crowd], minlength=len(categories)).tolist()
    for (identity, name), count in zip(categories.items(), counts, strict=True):
        if count < RARE:
            what = f"{name} (id {identity})" + (f": {count} object{'s' * (count != 1)}" if count else "")
            findings.add("class_rare" if count else "class_absent", Example(what), badness=-count)
    twice = Counter(categories.values())
    return {
        name if twice[name] == 1 else f"{name} (id {identity})": count
        for (identity, name), count in zip(categories.items(), counts, strict=True)
    }


def is_id(value: Any) -> TypeGuard[Id]:
    """Whether a value of the json can be an id: a number or a text."""
    return type(value) in (int, str) or (type(value) is float and math.isfinite(value))


def _size(entry: Entry) -> tuple[int, int] | None:
    sides: list[Any] = [entry.get("height"), entry.get("width")]
    # 640.0 equals 640 for Detectron2; the bound keeps numbers of a thousand digits out.
    if all(type(side) in (int, float) and 0 < side < 1e6 and side == int(side) for side in sides):
        return int(sides[0]), int(sides[1])
    return None


def _order(identity: Id) -> tuple[bool, Any]:
    """Numbers first: they do not compare with texts."""
    return isinstance(identity, str), identity
