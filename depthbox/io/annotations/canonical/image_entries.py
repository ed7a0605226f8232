"""The list of images in canonical form: numbered, each file once, with its name on disk and its size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...images import MAX_PIXELS, ImageError, image_size
from ..notes import NoteCounter, shorten
from ..records import AnnotationError, NoteCase, RawAnnotations
from .ids import Id, IdLookup, is_id, order_of_ids, to_number
from .names import ResolvedName, resolve_names
from .points import read_background_points

Size = tuple[int, int]
_BACKGROUND = "background_points"
MAX_SIDE = 1_000_000


@dataclass(frozen=True)
class ImageTable:
    """Canonical images.

    Attributes:
        entries: N images with numbers 1 to N.
        original_ids: N ids in the user's file.
        lookup: id in the user's file -> number; ids of merged images have the same number.
        missing: numbers of the images whose file does not exist.
        other_size: numbers of the images whose file has another size, if sizes were checked.
        merged: numbers of the images that are listed under several ids.
        left_out: ids of images that are not used.
    """

    entries: list[dict[str, Any]]
    original_ids: list[Id]
    lookup: IdLookup
    missing: frozenset[int]
    other_size: frozenset[int]
    merged: frozenset[int]
    left_out: frozenset[Id]


@dataclass
class _ListedImage:
    """An image file and the entries that list it."""

    entry: dict[str, Any]
    name: ResolvedName
    ids: list[Id]
    size: Size | None = None
    sizes: set[Size] = field(default_factory=set)
    has_other_size: bool = False
    background: list[Any] = field(default_factory=list)


class ImageReader:
    """Reads the list of images.

    Args:
        raw: annotations of any format.
        notes: takes the findings.
        check_files: match the names to the files on disk.
        check_sizes: compare height and width with the headers of the files.
    """

    def __init__(self, raw: RawAnnotations, notes: NoteCounter, *, check_files: bool, check_sizes: bool) -> None:
        self._source = raw.source
        self._root = raw.image_root
        self._notes = notes
        self._check_files = check_files
        self._check_sizes = check_sizes
        self._left_out: set[Id] = set()

    def read(self, entries: list[Any]) -> ImageTable:
        """Read the list.

        Raises:
            AnnotationError: an id is used for two files, or no image can be used.
        """
        images = [image for image in self._unique_files(entries) if self._measure(image)]
        if not images:
            causes = [note for note in self._notes.notes() if note.kind == "left out"]
            reasons = "; ".join(f"{note.text}: {note.examples[0]}" for note in causes[:2])
            raise AnnotationError(
                f"{self._source} has no image that can be used ({reasons or 'the list is empty'}). "
                "Correct the image folder or the list of images"
            )
        return self._number(images)

    def _sound_entries(self, entries: list[Any]) -> list[dict[str, Any]]:
        sound = []
        for index, entry in enumerate(entries):
            if isinstance(entry, dict) and is_id(entry.get("id")) and isinstance(entry.get("file_name"), str):
                sound.append(entry)
                continue
            self._notes.add("image_malformed", f"images[{index}]: {shorten(entry)}")
            if isinstance(entry, dict) and is_id(entry.get("id")):
                self._left_out.add(entry["id"])
        return sound

    def _unique_files(self, entries: list[Any]) -> list[_ListedImage]:
        """Return each file once, in the order of the list."""
        sound = self._sound_entries(entries)
        names = resolve_names((entry["file_name"] for entry in sound), self._root, self._check_files)
        by_file: dict[str, _ListedImage] = {}
        file_of_id: dict[Id, str] = {}
        for entry in sound:
            identity, name = entry["id"], names[entry["file_name"]]
            key = name.file or f"\0{entry['file_name']}"
            if file_of_id.setdefault(identity, key) != key:
                raise self._ambiguous(identity, by_file[file_of_id[identity]].entry, entry)
            image = by_file.get(key)
            if image is None:
                size = _read_size(entry)
                image = by_file[key] = _ListedImage(entry, name, [identity], size, {size} if size else set())
                self._note_name(entry, name)
            else:
                self._merge(image, entry)
            if _BACKGROUND in entry:
                image.background.append(entry[_BACKGROUND])
        return list(by_file.values())

    def _ambiguous(self, identity: Id, first: dict[str, Any], second: dict[str, Any]) -> AnnotationError:
        names = " and ".join(shorten(entry["file_name"]) for entry in (first, second))
        return AnnotationError(
            f"{self._source}: the image id {shorten(identity)} is used for {names}, so that its objects belong to "
            "either of them. Give each image an id of its own"
        )

    def _note_name(self, entry: dict[str, Any], name: ResolvedName) -> None:
        if name.state in ("respelled", "moved"):
            self._notes.add(f"file_name_{name.state}", f"{shorten(entry['file_name'])} -> {shorten(name.file)}")

    def _merge(self, image: _ListedImage, entry: dict[str, Any]) -> None:
        repeated = entry["id"] in image.ids
        rule = "image_id_twice" if repeated else "file_listed_twice"
        self._notes.add(rule, lambda: f"{shorten(entry['file_name'])} with the id {shorten(entry['id'])}")
        if not repeated:
            image.ids.append(entry["id"])
        size = _read_size(entry)
        if size:
            image.size = image.size or size
            image.sizes.add(size)
            if len(image.sizes) == 2:
                detail = "it is listed with two sizes"
                self._notes.add("image_size_differs", NoteCase(detail, image.name.file, declared_size=size))

    def _measure(self, image: _ListedImage) -> bool:
        """Complete and check the size of an image; return whether the image can be used."""
        rule = self._unusable(image)
        if rule:
            self._left_out.update(image.ids)
        return not rule

    def _unusable(self, image: _ListedImage) -> str:
        name, entry = image.name, image.entry
        if name.state == "outside":
            self._notes.add("file_outside_images", shorten(entry["file_name"]))
            return "file_outside_images"
        missing = name.state == "missing"
        if missing and image.size is None:
            self._notes.add("image_size_unknown", shorten(entry["file_name"]))
            return "image_size_unknown"
        if missing:
            self._notes.add("image_missing", NoteCase(file_name=entry["file_name"]))
        if missing or (image.size is not None and not self._check_sizes):
            self._note_text_size(image)
            return ""
        try:
            on_disk = image_size(self._root / name.file)
        except (ImageError, ValueError) as error:
            self._notes.add("image_unreadable", str(error))
            return "image_unreadable"
        self._compare(image, on_disk)
        return ""

    def _compare(self, image: _ListedImage, on_disk: Size) -> None:
        size = image.size
        if size is None:
            self._notes.add("image_size_repaired", shorten(image.name.file))
            image.size = on_disk
            return
        self._note_text_size(image)
        if size != on_disk:
            image.has_other_size = True
            rule = "image_turned" if size == on_disk[::-1] else "image_size_differs"
            detail = (
                f"{size[1]} x {size[0]} in the annotations, {on_disk[1]} x {on_disk[0]} in the file (width x height)"
            )
            self._notes.add(rule, NoteCase(detail, image.name.file, declared_size=size))

    def _note_text_size(self, image: _ListedImage) -> None:
        sides = (image.entry.get("height"), image.entry.get("width"))
        if any(isinstance(side, str) for side in sides):
            self._notes.add("image_size_text", f"{shorten(image.name.file)}: {shorten(sides)}")

    def _number(self, images: list[_ListedImage]) -> ImageTable:
        images = [images[index] for index in order_of_ids([image.ids[0] for image in images])]
        entries = []
        for number, image in enumerate(images, 1):
            height, width = image.size or (0, 0)
            entry = {**image.entry, "id": number, "file_name": image.name.file, "height": height, "width": width}
            if image.background:
                self._set_background(entry, image.background)
            entries.append(entry)
        numbers = {identity: number for number, image in enumerate(images, 1) for identity in image.ids}
        return ImageTable(
            entries,
            [image.ids[0] for image in images],
            IdLookup(numbers),
            frozenset(number for number, image in enumerate(images, 1) if image.name.state == "missing"),
            frozenset(number for number, image in enumerate(images, 1) if image.has_other_size),
            frozenset(number for number, image in enumerate(images, 1) if len(image.ids) > 1),
            frozenset(self._left_out),
        )

    def _set_background(self, entry: dict[str, Any], given: list[Any]) -> None:
        """Set the background points of an image; those that cannot be used are left out."""
        points = read_background_points(given, entry["height"], entry["width"])
        for rule, count in points.rules.items():
            self._notes.add(rule, NoteCase(f"{_BACKGROUND} {shorten(given)}", entry["file_name"]), count)
        entry.pop(_BACKGROUND, None)
        if points.coords:
            entry[_BACKGROUND] = points.coords


def _read_size(entry: dict[str, Any]) -> Size | None:
    """Return (height, width) of an image entry, None if they are missing or unusable."""
    height, width = entry.get("height"), entry.get("width")
    sides = [to_number(side) for side in (height, width)]
    if not all(side is not None and 0 < side <= MAX_SIDE and side == int(side) for side in sides):
        return None
    size = (int(sides[0] or 0), int(sides[1] or 0))
    return size if size[0] * size[1] <= MAX_PIXELS else None  # no such image can be read
