"""The annotations of a COCO json: complete, unique, of a listed image and class, with a box of four numbers?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .findings import Example, Findings, shown
from .json import Entry
from .records import BoxTable, Id, ImageRecord, is_id

# Keeps sums and areas of absurd boxes finite.
LARGEST = 1e9


def check_annotations(
    entries: Sequence[Entry], images: tuple[ImageRecord, ...], categories: dict[Id, str], findings: Findings
) -> BoxTable:
    """Check the list of annotations.

    Args:
        entries: as ``read_coco`` gives them.
        images: as ``check_images`` returns them.
        categories: as ``check_categories`` returns them.
        findings: takes in what is wrong.

    Returns:
        The boxes with which further checks can do something.
    """
    check = _AnnotationCheck(images, categories, findings)
    for place, entry in enumerate(entries):
        check.add(place, entry)
    # Where no annotation has a segmentation, it is a data set of boxes, and none is missing.
    if findings.count("segmentation_partial") == len(entries):
        findings.drop("segmentation_partial")
    for place, image in enumerate(images):
        if place not in check.annotated:
            findings.add("image_empty", Example("", image.file_name, image.id))
    return check.table()


class _AnnotationCheck:
    """Goes through the annotations and fills the table."""

    def __init__(self, images: tuple[ImageRecord, ...], categories: dict[Id, str], findings: Findings) -> None:
        self.images, self.findings = images, findings
        self.image_at = {image.id: place for place, image in enumerate(images)}
        self.category_at = {identity: place for place, identity in enumerate(categories)}
        self.seen: set[Id] = set()
        self.annotated: set[int] = set()
        self.boxes: list[float] = []
        self.rows: list[tuple[int, int, bool]] = []
        self.ids: list[Id | None] = []

    def add(self, place: int, entry: Entry) -> None:
        """Check one annotation; usable boxes become rows."""
        identity = entry.get("id")
        owner = entry.get("image_id")
        image = self.image_at.get(owner) if is_id(owner) else None
        example = Example(
            "",
            self.images[image].file_name if image is not None else "",
            owner if is_id(owner) else None,
            identity if is_id(identity) else f"at place {place} of the list",
            _as_box(entry.get("bbox")),
        )
        self._check_id(identity, example)
        if image is None:
            self._check_owner(entry, example)
        else:
            self.annotated.add(image)
        category = self._category(entry, example)
        self._check_flags(entry, example)
        self._check_segmentation(entry, image, example)
        self._check_box(entry, example)
        if example.box is not None and image is not None and category is not None:
            self.boxes.extend(example.box)
            self.rows.append((image, category, bool(entry.get("iscrowd", 0))))
            self.ids.append(example.annotation_id)

    def table(self) -> BoxTable:
        """The rows so far."""
        rows = np.array(self.rows, dtype=np.int64).reshape(-1, 3)
        boxes = np.clip(np.array(self.boxes, dtype=np.float64).reshape(-1, 4), -LARGEST, LARGEST)
        return BoxTable(self.images, boxes, rows[:, 0], rows[:, 1], rows[:, 2].astype(bool), self.ids)

    def _found(self, kind: str, example: Example, detail: str) -> None:
        self.findings.add(kind, replace(example, detail=detail))

    def _check_id(self, identity: Any, example: Example) -> None:
        if not is_id(identity):
            self._found("json_entry_malformed", example, f"its id is {shown(identity)}")
            return
        if identity in self.seen:
            self._found("annotation_id_twice", example, "another annotation has this id too")
        self.seen.add(identity)
        if type(identity) is not int:
            self._found("id_not_integer", example, f"the annotation id {shown(identity)}")
        elif identity == 0:
            self._found("annotation_id_zero", example, "")

    def _check_owner(self, entry: Entry, example: Example) -> None:
        if not is_id(entry.get("image_id")):
            self._found("json_entry_malformed", example, f"its image_id is {shown(entry.get('image_id'))}")
            return
        detail = f"image_id {shown(entry['image_id'])}{_other_type(entry['image_id'], self.image_at)}"
        self._found("image_unknown", example, detail)

    def _category(self, entry: Entry, example: Example) -> int | None:
        identity = entry.get("category_id")
        if not is_id(identity):
            self._found("json_entry_malformed", example, f"its category_id is {shown(identity)}")
            return None
        if identity not in self.category_at:
            detail = f"category_id {shown(identity)}{_other_type(identity, self.category_at)}"
            self._found("category_unknown", example, detail)
        return self.category_at.get(identity)

    def _check_flags(self, entry: Entry, example: Example) -> None:
        crowd = entry.get("iscrowd", 0)
        if not (isinstance(crowd, int | float) and crowd in (0, 1)):
            self._found("crowd_invalid", example, f"iscrowd is {shown(crowd)}")
        elif crowd:
            self._found("crowd", example, "")
        ignore = entry.get("ignore", 0)
        if ignore != 0:
            self._found("annotation_ignored", example, f"ignore is {shown(ignore)}")

    def _check_segmentation(self, entry: Entry, image: int | None, example: Example) -> None:
        segmentation = entry.get("segmentation")
        if segmentation is None:
            self._found("segmentation_partial", example, "")
            return
        if segmentation.kind:
            self._found(segmentation.kind, example, segmentation.detail)
        size = None if image is None else self.images[image].size
        if segmentation.size and size and segmentation.size != size:
            (height, width), (image_height, image_width) = segmentation.size, size
            detail = f"a mask of {width} x {height} in an image of {image_width} x {image_height} (width x height)"
            self._found("segmentation_size", example, detail)

    def _check_box(self, entry: Entry, example: Example) -> None:
        box = entry.get("bbox")
        if example.box is None:
            kind = "box_not_finite" if _is_four_numbers(box) else "box_malformed"
            self._found(kind, example, f"bbox {shown(box)}" if "bbox" in entry else "it has no bbox")


def _is_four_numbers(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)


def _as_box(box: Any) -> tuple[float, float, float, float] | None:
    """Four finite numbers, or None."""
    try:
        if not _is_four_numbers(box) or not all(map(math.isfinite, box)):
            return None
    except OverflowError:  # a whole number beyond all floats
        return None
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])


def _other_type(identity: Id, known: dict[Id, int]) -> str:
    """A hint where the id is there as a number and not as a text, or the other way round."""
    if str(identity) in known:
        return f", but there is '{identity}', a text"
    if isinstance(identity, str) and identity.isdecimal() and int(identity[:30]) in known:
        return f", but there is {identity}, a number"
    return ""
