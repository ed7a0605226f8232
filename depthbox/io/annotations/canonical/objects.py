"""The list of annotations in canonical form: objects with a sound box or point in a listed image and category."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..notes import NoteCounter, shorten
from ..records import NoteCase
from .attributes import compute_area, convert_area, is_sound_area, read_crowd
from .boxes import BoxReader, boxes_are_points, finite_box, is_sound_box, is_within, with_box_center
from .categories import CategoryTable
from .ids import Id, IdLookup, RepeatedEntries, has_repeats, is_id
from .image_entries import ImageTable
from .outlines import Outline, describe_outline, is_polygon, read_outline
from .points import NO_POINTS, PointReading, describe_points, read_points
from .rle import measure_runs

Entry = dict[str, Any]
_BLOCK = 64  # RLEs measured together
_UNIT_SIDE = 2  # of the largest image whose points may all lie within 0..1


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
        self._boxes = BoxReader(self._note)
        self._in_unit: list[Entry] = []
        self._all_in_unit = True
        self._in_merged: dict[tuple[Any, ...], Id] = {}

    def read(self, entries: list[Any]) -> ObjectTable:
        """Read the list; entries that cannot be used are left out and counted."""
        repeated = has_repeats(entry.get("id") for entry in entries if type(entry) is dict)
        repeats = RepeatedEntries() if repeated else None
        tiny = boxes_are_points(entries)
        for position, entry in enumerate(entries):
            if type(entry) is not dict:
                self._notes.add("annotation_malformed", f"annotations[{position}] is {shorten(entry)}")
            elif not (repeats and self._is_repeated(entry, repeats)):
                self._add(position, self._with_point(entry) if tiny else entry)
        self._measure_rles()
        self._note_crowds()
        for entry in self._in_unit:
            self._note("points_normalized", entry, describe_points(entry))
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
        size = self._sizes[number]
        points = NO_POINTS
        if "point_coords" in entry or "keypoints" in entry or "point_labels" in entry:
            points = self._read_points(entry, size)
        box = entry.get("bbox")
        if not (is_sound_box(box) and is_within(box, size[0], size[1])):
            box = self._boxes.read(entry, size[0], size[1], points)
            if box is None and not points.has_positive:
                return
        if not self._is_in_merged(entry, number, category, box or points.coords[0]):
            new = entry.copy()
            new.update(image_id=number, category_id=category, id=len(self._table.entries) + 1)
            self._append(position, entry, new, box, points)

    def _append(self, position: int, entry: Entry, new: Entry, box: list[float] | None, points: PointReading) -> None:
        table = self._table
        if box is None:
            new["area"] = 0
            new.pop("bbox", None)
            new.pop("segmentation", None)
        else:
            new["bbox"] = box
            size = self._sizes[new["image_id"]]
            outline = entry.get("segmentation")
            if not _are_polygons(outline, size):
                self._set_outline(new, entry, read_outline(outline, *size))
            if not is_sound_area(entry.get("area")):
                self._set_area(new, entry)
        if points is not NO_POINTS:
            _set_points(new, points)
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

    def _read_points(self, entry: Entry, size: tuple[int, int]) -> PointReading:
        points = read_points(entry, *size)
        for rule, count in points.rules.items():
            self._note(rule, entry, lambda: f"{describe_points(entry)} in {size[1]} x {size[0]}", count)
        if points.in_unit is False:
            self._all_in_unit = False
            self._in_unit.clear()
        elif points.in_unit and self._all_in_unit and max(size) > _UNIT_SIDE:
            self._in_unit.append(entry)
        return points

    def _is_repeated(self, entry: Entry, repeats: RepeatedEntries) -> bool:
        rule = repeats.find(entry)
        if rule:
            self._note(rule, entry)
        return rule == "annotation_twice"

    def _with_point(self, entry: Entry) -> Entry:
        changed = with_box_center(entry)
        if changed is not entry:
            self._note("box_is_point", entry, lambda: f"bbox {shorten(entry['bbox'])}")
        return changed

    def _is_in_merged(self, entry: Entry, image: int, category: int, place: list[float]) -> bool:
        """Return whether another entry of the same image file lists the same object."""
        if image not in self._images.merged:
            return False
        listed_under = entry["image_id"]
        first = self._in_merged.setdefault((image, category, *place), listed_under)
        if first == listed_under:
            return False
        self._note("annotation_twice", entry, lambda: f"its image is also listed with the id {shorten(first)}")
        return True

    def _set_outline(self, new: Entry, entry: Entry, outline: Outline) -> None:
        for rule in outline.rules:
            self._note(rule, entry, lambda: describe_outline(entry.get("segmentation")))
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

    def _note(self, rule: str, entry: Entry, detail: Any = "", count: int = 1) -> None:
        def case() -> NoteCase:
            number = self._images.lookup.find(entry.get("image_id"))
            identity = entry.get("id")
            return NoteCase(
                detail() if callable(detail) else detail,
                self._images.entries[number - 1]["file_name"] if number else "",
                f"annotation {shorten(identity)}",
                identity if is_id(identity) else None,
                finite_box(entry.get("bbox")),
            )

        self._notes.add(rule, case, count)


def _set_points(new: Entry, points: PointReading) -> None:
    if points.coords:
        new.update(point_coords=points.coords, point_labels=points.labels)
    else:
        new.pop("point_coords", None)
        new.pop("point_labels", None)


def _are_polygons(outline: Any, size: tuple[int, int]) -> bool:
    return type(outline) is list and bool(outline) and all(is_polygon(polygon, *size) for polygon in outline)
