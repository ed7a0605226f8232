"""Findings about annotations, counted by rule: rules of the canonical form, and the counter of all readers."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .records import MAX_EXAMPLES, Note, NoteCase, NoteKind

_CORRECT = "correct the file of annotations"
_SEE = "look at them on the page of `depthbox check --output`"
_EXAMPLE_LENGTH = 240


@dataclass(frozen=True)
class NoteRule:
    """One kind of finding before it is counted; ``name`` is the rule of its notes, the rest as in ``Note``."""

    kind: NoteKind
    name: str
    text: str
    remedy: str = ""


_RULES = (
    # images
    NoteRule("left out", "image_malformed", "image entries without id and file_name", _CORRECT),
    NoteRule("repaired", "image_id_twice", "image entries that repeat the id and the file of another one"),
    NoteRule("repaired", "file_listed_twice", "image entries merged, because their file is listed under several ids"),
    NoteRule("repaired", "file_name_respelled", "file names spelled in another way than the files on disk"),
    NoteRule("repaired", "file_name_moved", "file names with other folders than the files on disk"),
    NoteRule(
        "left out",
        "file_outside_images",
        "images whose file_name leaves the image folder or is not a file name",
        "write names within the folder",
    ),
    NoteRule("left out", "image_missing", "images whose file does not exist", "correct the image folder or the names"),
    NoteRule("left out", "image_unreadable", "images whose file cannot be read", "copy them again, or remove them"),
    NoteRule(
        "left out",
        "image_size_unknown",
        "images without height and width whose file does not exist",
        "correct the image folder",
    ),
    NoteRule("repaired", "image_size_repaired", "images without a usable height and width, read from their files"),
    NoteRule("repaired", "image_size_text", "images whose height and width are written as text"),
    NoteRule(
        "contradiction",
        "image_size_differs",
        "images whose height and width differ from those of their files",
        "boxes do not fit scaled images: use the images that were annotated, or export the annotations again",
    ),
    NoteRule(
        "contradiction",
        "image_turned",
        "images whose height and width are exchanged: they were annotated without their EXIF orientation",
        "save them upright, or export the annotations again",
    ),
    # categories
    NoteRule("left out", "category_malformed", "categories without a usable id", _CORRECT),
    NoteRule("repaired", "category_without_name", "categories without a name, named after their id"),
    NoteRule("repaired", "categories_without_ids", "categories given as names alone, numbered in their order"),
    NoteRule("repaired", "categories_from_objects", "categories taken from the class names of the objects"),
    NoteRule("repaired", "category_id_twice", "categories that repeat id and name of another one"),
    NoteRule("repaired", "category_name_twice", "categories merged, because several ids have the same name"),
    NoteRule(
        "contradiction",
        "class_names_alike",
        "class names that differ in letter case or blanks only",
        "rename them if they are the same class",
    ),
    NoteRule("left out", "category_unused_root", "categories that only group others and have no objects"),
    # objects
    NoteRule("left out", "annotation_malformed", "annotations that are not JSON objects", _CORRECT),
    NoteRule("repaired", "annotation_id_twice", "annotations that have the id of another one, numbered anew"),
    NoteRule("left out", "annotation_twice", "annotations that repeat another one"),
    NoteRule("repaired", "id_type_differs", "annotations whose image_id or category_id has another type than the list"),
    NoteRule("left out", "image_unknown", "annotations of images that are not listed", "add the images to the list"),
    NoteRule("left out", "image_left_out", "annotations of images that are left out"),
    NoteRule(
        "left out",
        "category_unknown",
        "annotations of categories that are not listed",
        "add the category to the list; category_id is its id, not its index",
    ),
    NoteRule("left out", "box_missing", "annotations without box, outline or point", _CORRECT),
    NoteRule("repaired", "box_from_outline", "annotations without bbox, whose box was computed from the outline"),
    NoteRule("repaired", "box_number_text", "boxes whose numbers are written as text"),
    NoteRule("left out", "box_malformed", "boxes that are not four numbers [x, y, width, height]", _CORRECT),
    NoteRule("left out", "box_not_finite", "boxes with NaN, infinite or absurdly large numbers", _CORRECT),
    NoteRule("left out", "box_no_area", "boxes whose width or height is not positive", _CORRECT),
    NoteRule("left out", "box_outside", "boxes that lie outside their image", _SEE),
    NoteRule(
        "contradiction",
        "box_beyond_border",
        "boxes that pass the border of their image",
        "nothing to do for a few, which are clipped; many of them mean a wrong image size or box format",
    ),
    NoteRule(
        "repaired",
        "box_is_point",
        "boxes of at most one pixel, used as points at their centers, because all boxes of the file are that small",
    ),
    NoteRule("repaired", "point_instead_of_box", "annotations with a bad box and a good point, used as points"),
    NoteRule("repaired", "keypoints_as_points", "annotations whose keypoints are used as points"),
    NoteRule("repaired", "point_repaired", "annotations with points as a single pair or as text, converted"),
    NoteRule("left out", "point_malformed", "points that are not pairs of numbers [x, y]", _CORRECT),
    NoteRule("left out", "point_not_finite", "points with NaN, infinite or absurdly large coordinates", _CORRECT),
    NoteRule("left out", "point_outside", "points outside their image", _SEE),
    NoteRule("left out", "point_label_invalid", "points whose label is neither 1 (on the object) nor 0", _CORRECT),
    NoteRule(
        "left out",
        "point_labels_differ",
        "annotations whose point_labels are not one label per point; their points are not used",
        _CORRECT,
    ),
    NoteRule(
        "left out",
        "point_not_positive",
        "annotations without box and outline, none of whose points can be used and lies on the object (label 1)",
        _CORRECT,
    ),
    NoteRule(
        "contradiction",
        "points_normalized",
        "annotations with points, all of which lie within 0..1 in larger images, as shares of the image do",
        "multiply x by the width and y by the height of the image",
    ),
    NoteRule("left out", "background_point_bad", "background points that are not finite pairs [x, y]", _CORRECT),
    NoteRule("left out", "background_point_outside", "background points outside their image", _CORRECT),
    NoteRule("repaired", "area_invalid", "objects whose area is not a positive number, computed anew"),
    NoteRule("contradiction", "crowd_invalid", "objects whose iscrowd is neither 0 nor 1, taken as 0", _CORRECT),
    NoteRule("left out", "crowd", "objects marked iscrowd, which are regions to ignore"),
    NoteRule("left out", "ignored", "objects marked ignore, used as iscrowd: regions to ignore"),
    NoteRule(
        "contradiction",
        "all_crowds",
        "objects, all of them marked iscrowd or ignore, so that nothing is left to learn",
        "if they are single objects, set iscrowd to 0 (tools that export masks as RLE often write 1)",
    ),
    NoteRule("repaired", "outline_repaired", "outlines that are not lists of polygons, wrapped or converted"),
    NoteRule(
        "contradiction",
        "outline_other_size",
        "objects with masks of another size than their image; the boxes are used without them",
        "export the masks at the size of the images",
    ),
    NoteRule("left out", "outline_bad", "objects with bad outlines; the boxes are used without them", _SEE),
    NoteRule("left out", "polygon_bad", "bad polygons of objects that have other, good polygons"),
)
RULES: dict[str, NoteRule] = {rule.name: rule for rule in _RULES}


Case = NoteCase | str


class NoteCounter:
    """Counts findings by rule and keeps the first cases of each."""

    def __init__(self) -> None:
        self._counts: dict[NoteRule, int] = {}
        self._cases: dict[NoteRule, list[NoteCase]] = {}

    def add(self, rule: NoteRule | str, case: Callable[[], Case] | Case = "", count: int = 1) -> None:
        """Count one or more cases.

        Args:
            rule: a rule, or the name of one of ``RULES``.
            case: a case, a line that names the object, or a function that returns one and is called only if needed.
            count: number of cases; with 0 nothing happens.

        Raises:
            KeyError: a name that is not in ``RULES``.
        """
        rule = RULES[rule] if isinstance(rule, str) else rule
        if count < 1:
            return
        self._counts[rule] = self._counts.get(rule, 0) + count
        cases = self._cases.setdefault(rule, [])
        if case and len(cases) < MAX_EXAMPLES:
            found = case() if callable(case) else case
            cases.append(replace(found if isinstance(found, NoteCase) else NoteCase(found), count=count))

    def count(self, rule: NoteRule | str) -> int:
        """Return the number of cases of a rule."""
        return self._counts.get(RULES[rule] if isinstance(rule, str) else rule, 0)

    def notes(self) -> tuple[Note, ...]:
        """Return the notes: those of ``RULES`` in their order, then the others as they were first found."""
        others = [rule for rule in self._counts if RULES.get(rule.name) is not rule]
        return tuple(
            Note(
                rule.kind,
                rule.name,
                self._counts[rule],
                rule.text,
                tuple(_to_line(str(case)) for case in self._cases[rule]),
                rule.remedy,
                tuple(self._cases[rule]),
            )
            for rule in (*RULES.values(), *others)
            if rule in self._counts
        )


def _to_line(text: str) -> str:
    """Return a text as one line of limited length that can always be printed."""
    line = text if text.isprintable() else " ".join(text.split())
    line = line if line.isprintable() else ascii(line)[1:-1]
    return line if len(line) <= _EXAMPLE_LENGTH else line[: _EXAMPLE_LENGTH - 3] + "..."


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
