"""Reader of Open Images: CSV tables of boxes in shares of the image."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from ..records import AnnotationError, RawAnnotations
from .builder import ContentBuilder
from .documents import parse_number, parse_numbers, track
from .image_files import SPLIT_NAMES, ImageFolder, child_folder, find_image_folder, is_file, list_files, split_folders
from .rules import IMAGE_NOT_FOUND, OBJECT_UNREADABLE, shorten
from .shapes import LabeledShape, box_shape
from .tables import peek_columns, read_rows

_COLUMNS = ("imageid", "labelname", "xmin", "xmax", "ymin", "ymax")
_FOLDERS = ("labels", "annotations", "csv", "boxes")


def is_open_images_table(path: Path) -> bool:
    """Return whether a CSV file has the columns of Open Images boxes."""
    return set(_COLUMNS) <= set(peek_columns(path))


def find_open_images_tables(source: Path) -> dict[str, Path]:
    """Return split -> CSV file of a folder; the key is "" if the dataset has no splits."""
    if is_file(source):
        return {"": source}
    places = (source, child_folder(source, *_FOLDERS))
    found = [path for place in places if place is not None for path in _tables(place)]
    if not found:
        parts = {split: _tables(part) or _inner(part) for split, part in split_folders(source).items()}
        return {split: tables[0] for split, tables in parts.items() if tables}
    named = {split: path for split in SPLIT_NAMES for path in found if _split_of(path) == split}
    return named if len(found) > 1 and len(named) == len(found) else {"": found[0]} if len(found) == 1 else {}


def open_images_splits(source: Path) -> tuple[str, ...]:
    """Return the splits of a dataset; () if it has no splits."""
    return tuple(split for split in find_open_images_tables(source) if split)


def read_open_images(
    source: Path, images: Path | None = None, split: str = "train", progress: bool = True
) -> RawAnnotations | None:
    """Return the annotations of an Open Images table.

    Boxes of groups (``IsGroupOf``) are crowds. Class names come from a file ``class-descriptions*.csv`` beside the
    table; without it, the class codes are the names. Classes are sorted by name and the same in every split.

    Args:
        source: the CSV file, or the folder that holds it.
        images: folder of the images; None = search for it.
        split: name of the split, for a dataset with splits.
        progress: show a progress bar for thousands of images.

    Returns:
        The annotations; None if the dataset has splits, but not this one.

    Raises:
        AnnotationError: there are no annotations that can be used.
    """
    tables = find_open_images_tables(source)
    if not tables:
        raise AnnotationError(f"{source} has no single table of Open Images boxes per split; give one .csv file")
    if "" not in tables and split not in tables:
        return None
    file = tables.get(split) or tables[""]
    folder = ImageFolder.scan(_find_images(source, file, images))
    builder = ContentBuilder(source, "openimages", folder.root)
    names = _class_names(file, source)
    objects = _objects(file, folder, names, builder)
    for image in track(list(objects), "Open Images", progress):
        size = builder.measure(image)
        if size is not None:
            height, width = size
            scaled = [
                LabeledShape(entry.label, entry.shape.scaled(width / _UNIT, height / _UNIT), entry.extra)
                for entry in objects[image]
            ]
            builder.add(image, scaled, file.name)
    divided = tables.values() if len(tables) > 1 else ()
    return builder.finish(names=sorted(_labels(divided, names)))


# Shares are kept as boxes of an image of this size, so that rounding does not matter.
_UNIT = 1e6


def _tables(folder: Path) -> list[Path]:
    return [path for path in list_files(folder, (".csv",), recursive=False) if is_open_images_table(path)]


def _inner(folder: Path) -> list[Path]:
    inner = child_folder(folder, *_FOLDERS)
    return [] if inner is None else _tables(inner)


def _split_of(path: Path) -> str:
    name = path.stem.lower()
    return next((split for split, names in SPLIT_NAMES.items() if any(word in name for word in names)), "")


def _find_images(source: Path, file: Path, images: Path | None) -> Path:
    """Return the image folder: of a folder of the split if there is one, otherwise that of the dataset."""
    home = file.parent.parent if file.parent.name.lower() in _FOLDERS else file.parent
    part = None if images is not None else child_folder(home, *SPLIT_NAMES.get(_split_of(file), ("",)))
    return find_image_folder(part if part is not None and not is_file(source) else home, images)


def _objects(
    file: Path, folder: ImageFolder, names: dict[str, str], builder: ContentBuilder
) -> dict[str, list[LabeledShape]]:
    found: dict[str, list[LabeledShape]] = {}
    images: dict[str, str | None] = {}
    for row in read_rows(file, _COLUMNS):
        code = row["imageid"]
        if code not in images:
            images[code] = folder.find(code)
            if images[code] is None:
                builder.notes.add(IMAGE_NOT_FOUND, code)
        image = images[code]
        if image is None:
            continue
        corners = parse_numbers((row[name] for name in ("xmin", "ymin", "xmax", "ymax")), limit=2.0)
        if corners is None or not row["labelname"]:
            builder.notes.add(OBJECT_UNREADABLE, f"{file.name} line {row['line']}: coordinates must be 0 to 1")
            continue
        extra = {"iscrowd": 1} if (parse_number(row.get("isgroupof", "")) or 0) > 0 else {}
        shape = box_shape(*(value * _UNIT for value in corners))
        label = names.get(row["labelname"], row["labelname"])
        found.setdefault(image, []).append(LabeledShape(label, shape, extra))
    return found


def _class_names(file: Path, source: Path) -> dict[str, str]:
    """Return class code -> name from the descriptions beside the table, or in the dataset's folder."""
    places = dict.fromkeys([file.parent, file.parent.parent / "metadata", source if source.is_dir() else file.parent])
    for place in (place for place in places if place.is_dir()):
        for path in list_files(place, (".csv",), recursive=False):
            if "class-descriptions" in path.name.lower() or path.name.lower() == "classes.csv":
                return _read_descriptions(path)
    return {}


def _read_descriptions(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {row[0].strip(): row[1].strip() for row in csv.reader(file) if len(row) >= 2 and row[1].strip()}
    except (OSError, ValueError, csv.Error) as error:
        raise AnnotationError(f"{path} cannot be read: {shorten(error)}; save it as CSV in UTF-8") from error


def _labels(files: Iterable[Path], names: dict[str, str]) -> set[str]:
    codes = {row["labelname"] for path in files for row in read_rows(path, _COLUMNS)} - {""}
    return {names.get(code, code) for code in codes}
