"""Findings of the canonical form, counted by rule."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..records import MAX_EXAMPLES, Note, NoteKind

_CORRECT = "correct the file of annotations"
_SEE = "look at them with `depthbox check`"


@dataclass(frozen=True)
class NoteRule:
    """Kind, text and remedy of the notes of one rule; see ``Note``."""

    kind: NoteKind
    text: str
    remedy: str = ""


RULES: dict[str, NoteRule] = {
    # images
    "image_malformed": NoteRule("left out", "image entries without id and file_name", _CORRECT),
    "image_id_twice": NoteRule("repaired", "image entries that repeat the id and the file of another one"),
    "file_listed_twice": NoteRule("repaired", "image entries merged, because their file is listed under several ids"),
    "file_name_respelled": NoteRule("repaired", "file names spelled in another way than the files on disk"),
    "file_name_moved": NoteRule("repaired", "file names with other folders than the files on disk"),
    "file_outside_images": NoteRule(
        "left out",
        "images whose file_name leaves the image folder or is not a file name",
        "write names within the folder",
    ),
    "image_missing": NoteRule("left out", "images whose file does not exist", "correct the image folder or the names"),
    "image_unreadable": NoteRule("left out", "images whose file cannot be read", "copy them again, or remove them"),
    "image_size_unknown": NoteRule(
        "left out", "images without height and width whose file does not exist", "correct the image folder"
    ),
    "image_size_repaired": NoteRule("repaired", "images without a usable height and width, read from their files"),
    "image_size_text": NoteRule("repaired", "images whose height and width are written as text"),
    "image_size_differs": NoteRule(
        "contradiction",
        "images whose height and width differ from those of their files",
        "boxes do not fit scaled images: use the images that were annotated, or export the annotations again",
    ),
    "image_turned": NoteRule(
        "contradiction",
        "images whose height and width are exchanged: they were annotated without their EXIF orientation",
        "save them upright, or export the annotations again",
    ),
    # categories
    "category_malformed": NoteRule("left out", "categories without a usable id", _CORRECT),
    "category_without_name": NoteRule("repaired", "categories without a name, named after their id"),
    "categories_without_ids": NoteRule("repaired", "categories given as names alone, numbered in their order"),
    "categories_from_objects": NoteRule("repaired", "categories taken from the class names of the objects"),
    "category_id_twice": NoteRule("repaired", "categories that repeat id and name of another one"),
    "category_name_twice": NoteRule("repaired", "categories merged, because several ids have the same name"),
    "class_names_alike": NoteRule(
        "contradiction",
        "class names that differ in letter case or blanks only",
        "rename them if they are the same class",
    ),
    "category_unused_root": NoteRule("left out", "categories that only group others and have no objects"),
    # objects
    "annotation_malformed": NoteRule("left out", "annotations that are not JSON objects", _CORRECT),
    "annotation_id_twice": NoteRule("repaired", "annotations that have the id of another one, numbered anew"),
    "annotation_twice": NoteRule("left out", "annotations that repeat another one"),
    "id_type_differs": NoteRule("repaired", "annotations whose image_id or category_id has another type than the list"),
    "image_unknown": NoteRule("left out", "annotations of images that are not listed", "add the images to the list"),
    "image_left_out": NoteRule("left out", "annotations of images that are left out"),
    "category_unknown": NoteRule(
        "left out",
        "annotations of categories that are not listed",
        "add the category to the list; category_id is its id, not its index",
    ),
    "box_missing": NoteRule("left out", "annotations without bbox and outline", _CORRECT),
    "box_from_outline": NoteRule("repaired", "annotations without bbox, whose box was computed from the outline"),
    "box_number_text": NoteRule("repaired", "boxes whose numbers are written as text"),
    "box_malformed": NoteRule("left out", "boxes that are not four numbers [x, y, width, height]", _CORRECT),
    "box_not_finite": NoteRule("left out", "boxes with NaN, infinite or absurdly large numbers", _CORRECT),
    "box_no_area": NoteRule("left out", "boxes whose width or height is not positive", _CORRECT),
    "box_outside": NoteRule("left out", "boxes that lie outside their image", _SEE),
    "box_beyond_border": NoteRule("contradiction", "boxes that pass the border of their image"),
    "area_invalid": NoteRule("repaired", "objects whose area is not a positive number, computed anew"),
    "crowd_invalid": NoteRule("contradiction", "objects whose iscrowd is neither 0 nor 1, taken as 0", _CORRECT),
    "crowd": NoteRule("left out", "objects marked iscrowd, which are regions to ignore"),
    "ignored": NoteRule("left out", "objects marked ignore, used as iscrowd: regions to ignore"),
    "all_crowds": NoteRule(
        "contradiction",
        "objects, that is all, are marked iscrowd or ignore, so that nothing is left to learn",
        "if they are single objects, set iscrowd to 0 (tools that export masks as RLE often write 1)",
    ),
    "outline_repaired": NoteRule("repaired", "outlines that are not lists of polygons, wrapped or converted"),
    "outline_other_size": NoteRule(
        "contradiction",
        "objects with masks of another size than their image; the boxes are used without them",
        "export the masks at the size of the images",
    ),
    "outline_bad": NoteRule("left out", "objects with bad outlines; the boxes are used without them", _SEE),
    "polygon_bad": NoteRule("left out", "bad polygons of objects that have other, good polygons"),
}


class NoteCounter:
    """Counts findings by rule and keeps the first examples of each."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def add(self, rule: str, example: Callable[[], str] | str = "", count: int = 1) -> None:
        """Count a finding; ``example`` is a line that names the object, or a function that is called only if needed."""
        if rule not in RULES:
            raise KeyError(rule)
        self._counts[rule] = self._counts.get(rule, 0) + count
        examples = self._examples.setdefault(rule, [])
        if example and len(examples) < MAX_EXAMPLES:
            text = example if isinstance(example, str) else example()
            examples.append(text if text.isprintable() else ascii(text)[1:-1])

    def count(self, rule: str) -> int:
        """Return the number of findings of a rule."""
        return self._counts.get(rule, 0)

    def notes(self) -> tuple[Note, ...]:
        """Return the notes in the order of ``RULES``."""
        return tuple(
            Note(rule.kind, name, self._counts[name], rule.text, tuple(self._examples[name]), rule.remedy)
            for name, rule in RULES.items()
            if name in self._counts
        )


def shorten(value: Any, limit: int = 60) -> str:
    """Return a value of a JSON file as one short line that can always be printed."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = limit
    try:
        text = short.repr(value)
    except (ValueError, RecursionError):  # an integer of more digits than Python converts
        text = f"<{type(value).__name__}>"
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 2 * limit else text[: 2 * limit - 3] + "..."
