"""The list of annotations in canonical form: objects with a sound box in a listed image and category."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..notes import NoteCounter, shorten
from ..records import NoteCase
from .attributes import compute_area, convert_area, is_sound_area, read_crowd
from .boxes import box_fault, convert_box, is_outside, is_sound_box, passes_border
from .categories import CategoryTable
from .ids import Id, IdLookup, has_repeats, is_id
from .image_entries import ImageTable
from .outlines import Outline, box_of_outline, is_empty, is_polygon, read_outline
from .rle import measure_runs

Entry = dict[str, Any]
_BLOCK = 64  # RLEs measured together


@dataclass(frozen=True)
class ObjectTable:
    """Canonical objects.

    Attributes:
        entries: N annotations with numbers 1 to N.
        original_ids: N ids in the user's file, None for an annotation without id.
        positions: N indices in the list of the user's file.
    """

    entries: list[Entry] = field(default_factory=list)
    original_ids: list[Id | None] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)


class ObjectReader:
    """Reads the list of annotations.

    Args:
        images, categories: canonical.
        notes: takes the findings.
    """

    def __init__(self, images: ImageTable, categories: CategoryTable, notes: NoteCounter) -> None:
        self._images = images
        self._categories = categories
        self._notes = notes
        self._sizes = [(0, 0)] + [(image["height"], image["width"]) for image in images.entries]
        self._table = ObjectTable()
        self._unmeasured: list[tuple[Entry, Entry]] = []
        self._first_with_id: dict[Id, Entry] = {}
        self._in_merged: dict[tuple[Any, ...], Id] = {}

    def read(self, entries: list[Any]) -> ObjectTable:
        """Read the list; entries that cannot be used are left out and counted."""
        repeats = has_repeats(entry.get("id") for entry in entries if type(entry) is dict)
        for position, entry in enumerate(entries):
            if type(entry) is not dict:
                self._notes.add("annotation_malformed", f"annotations[{position}] is {shorten(entry)}")
            elif not (repeats and self._is_repeated(entry)):
                self._add(position, entry)
        self._measure_rles()
        self._note_crowds()
        return self._table

    def _add(self, position: int, entry: Entry) -> None:
        identity = entry.get("image_id")
        number = self._images.lookup.exact.get(identity) if type(identity) is int else None
        number = number or self._find("image_id", entry, self._images.lookup)
        if number is None:
            left_out = is_id(identity) and identity in self._images.left_out
            self._note(
                "image_left_out" if left_out else "image_unknown", entry, lambda: f"image_id {shorten(identity)}"
            )
            return
        identity = entry.get("category_id")
        category = self._categories.lookup.exact.get(identity) if type(identity) is int else None
        category = category or self._find("category_id", entry, self._categories.lookup)
        if category is None:
            self._note("category_unknown", entry, lambda: f"category_id {shorten(identity)}")
            return
        height, width = self._sizes[number]
        box = entry.get("bbox")
        if not is_sound_box(box):
            box = self._repair_box(entry, height, width)
            if box is None:
                return
        if not self._is_inside(box, entry, height, width) or self._is_in_merged(entry, number, category, box):
            return
        self._append(position, entry, {"image_id": number, "category_id": category, "bbox": box}, (height, width))

    def _append(self, position: int, entry: Entry, values: Entry, size: tuple[int, int]) -> None:
        table = self._table
        new = entry.copy()
        new.update(values)
        new["id"] = len(table.entries) + 1
        outline = entry.get("segmentation")
        if not _are_polygons(outline, size):
            self._set_outline(new, entry, read_outline(outline, *size))
        if not is_sound_area(entry.get("area")):
            self._set_area(new, entry)
        self._set_crowd(new, entry)
        table.entries.append(new)
        identity = entry.get("id")
        table.original_ids.append(identity if is_id(identity) else None)
        table.positions.append(position)
        if len(self._unmeasured) >= _BLOCK:
            self._measure_rles()

    def _find(self, key: str, entry: Entry, lookup: IdLookup) -> int | None:
        identity = entry.get(key)
        number = lookup.find(identity)
        if number is not None and not lookup.is_exact(identity):
            self._note("id_type_differs", entry, lambda: f"{key} {shorten(identity)}")
        return number

    def _repair_box(self, entry: Entry, height: int, width: int) -> list[float] | None:
        box = entry.get("bbox")
        if box is None or (isinstance(box, list | str) and not box):
            return self._box_from_outline(entry, height, width)
        numbers = convert_box(box)
        if is_sound_box(numbers):
            if any(isinstance(value, str) for value in box):
                self._note("box_number_text", entry, lambda: f"bbox {shorten(box)}")
            return numbers
        self._note(box_fault(numbers), entry, lambda: f"bbox {shorten(box)}")
        return None

    def _box_from_outline(self, entry: Entry, height: int, width: int) -> list[float] | None:
        outline = read_outline(entry.get("segmentation"), height, width)
        sound = outline.value is not None
        if outline.unchecked:
            sound = bool(measure_runs([outline.value["counts"]], [height * width]).sound[0])
        box = box_of_outline(outline.value) if sound else None
        if not is_sound_box(box):
            empty = is_empty(entry.get("segmentation"))
            self._note("box_missing", entry, "no bbox and " + ("no outline" if empty else "a bad outline"))
            return None
        self._note("box_from_outline", entry)
        return box

    def _is_inside(self, box: list[float], entry: Entry, height: int, width: int) -> bool:
        if is_outside(box, height, width):
            self._note("box_outside", entry, lambda: f"bbox {shorten(box)} in {width} x {height}")
            return False
        if passes_border(box, height, width):
            self._note("box_beyond_border", entry, lambda: f"bbox {shorten(box)} in {width} x {height}")
        return True

    def _is_repeated(self, entry: Entry) -> bool:
        """Return whether an annotation repeats another one of its id completely."""
        identity = entry.get("id")
        if not is_id(identity):
            return False
        first = self._first_with_id.setdefault(identity, entry)
        if first is entry:
            return False
        repeated = first == entry
        self._note("annotation_twice" if repeated else "annotation_id_twice", entry)
        return repeated

    def _is_in_merged(self, entry: Entry, image: int, category: int, box: list[float]) -> bool:
        """Return whether another entry of the same image file lists the same object."""
        if image not in self._images.merged:
            return False
        listed_under = entry["image_id"]
        first = self._in_merged.setdefault((image, category, *box), listed_under)
        if first == listed_under:
            return False
        self._note("annotation_twice", entry, lambda: f"its image is also listed with the id {shorten(first)}")
        return True

    def _set_outline(self, new: Entry, entry: Entry, outline: Outline) -> None:
        for rule in outline.rules:
            self._note(rule, entry, lambda: _describe_outline(entry))
        if outline.value is None:
            new.pop("segmentation", None)
            return
        new["segmentation"] = outline.value
        if outline.unchecked:
            self._unmeasured.append((new, entry))

    def _set_area(self, new: Entry, entry: Entry) -> None:
        area = entry.get("area")
        number = convert_area(area)
        if number is None:
            if area is not None and area != 0:
                self._note("area_invalid", entry, lambda: f"area {shorten(area)}")
            number = compute_area(new.get("segmentation"), new["bbox"])
        new["area"] = number

    def _set_crowd(self, new: Entry, entry: Entry) -> None:
        flag = read_crowd(entry)
        new["iscrowd"] = flag.value
        if flag.rule:
            key = "ignore" if flag.rule == "ignored" else "iscrowd"
            self._note(flag.rule, entry, lambda: f"{key} {shorten(entry.get(key))}")

    def _measure_rles(self) -> None:
        """Drop the outlines that are bad RLEs."""
        waiting, self._unmeasured = self._unmeasured, []
        pixels = [height * width for height, width in (self._sizes[new["image_id"]] for new, _ in waiting)]
        measures = measure_runs([new["segmentation"]["counts"] for new, _ in waiting], pixels)
        for (new, entry), sound, area in zip(waiting, measures.sound, measures.areas.tolist(), strict=True):
            if not sound:
                self._note("outline_bad", entry, "a bad RLE")
                del new["segmentation"]
                area = new["bbox"][2] * new["bbox"][3]
            new["area"] = new["area"] or area

    def _note_crowds(self) -> None:
        count = self._notes.count("crowd") + self._notes.count("ignored")
        if count and count == len(self._table.entries):
            self._notes.add("all_crowds", count=count)

    def _note(self, rule: str, entry: Entry, detail: Any = "") -> None:
        def case() -> NoteCase:
            number = self._images.lookup.find(entry.get("image_id"))
            identity = entry.get("id")
            return NoteCase(
                detail() if callable(detail) else detail,
                self._images.entries[number - 1]["file_name"] if number else "",
                f"annotation {shorten(identity)}",
                identity if is_id(identity) else None,
                _finite_box(entry.get("bbox")),
            )

        self._notes.add(rule, case)


def _finite_box(value: Any) -> tuple[float, float, float, float] | None:
    """Return the numbers of a box, sound or not, if it can be drawn."""
    numbers = convert_box(value)
    if numbers is None or box_fault(numbers) == "box_not_finite":
        return None
    x, y, width, height = map(float, numbers)
    return x, y, width, height


def _describe_outline(entry: Entry) -> str:
    value = entry.get("segmentation")
    if isinstance(value, dict):
        return f"a mask of the size {shorten(value.get('size'))} (height, width)"
    return f"segmentation {shorten(value)}"


def _are_polygons(outline: Any, size: tuple[int, int]) -> bool:
    return type(outline) is list and bool(outline) and all(is_polygon(polygon, *size) for polygon in outline)
