"""Reader of Pascal VOC boxes in one CSV table: filename, width, height, class, xmin, ymin, xmax, ymax."""

from __future__ import annotations

from pathlib import Path

from ...records import AnnotationError, RawAnnotations
from ..builder import ContentBuilder, Size
from ..documents import parse_number, parse_numbers
from ..image_files import ImageFolder, find_image_folder, is_file, list_files, split_folders
from ..rules import IMAGE_NOT_FOUND, OBJECT_UNREADABLE, OBJECT_WITHOUT_CLASS
from ..shapes import LabeledShape
from ..tables import peek_columns, read_rows
from .objects import voc_box

_COLUMNS = ("filename", "class", "xmin", "ymin", "xmax", "ymax")


def is_voc_table(path: Path) -> bool:
    """Return whether a CSV file has the columns of Pascal VOC boxes."""
    return set(_COLUMNS) <= set(peek_columns(path))


def voc_table_splits(source: Path) -> tuple[str, ...]:
    """Return the splits of a folder with one table per split; () if it has no splits."""
    return tuple(_parts(source))


def read_voc_table(source: Path, images: Path | None = None, split: str = "train") -> RawAnnotations | None:
    """Return the annotations of a table. Corners count from 1 and include the last pixel, as in the XML files.

    Args:
        source: the CSV file, its folder, or a folder with one table in each of train, valid and test.
        images: folder of the images; None = search for it.
        split: name of the split, for a dataset with splits.

    Returns:
        The annotations; None if the dataset has splits, but not this one.

    Raises:
        AnnotationError: there are no annotations that can be used.
    """
    parts = _parts(source)
    if parts and split not in parts:
        return None
    file = parts.get(split) or (source if is_file(source) else _tables(source)[0])
    root = find_image_folder(file.parent, images)
    builder = ContentBuilder(source, "voc", root)
    folder = ImageFolder.scan(root)
    rows: dict[str, list[dict[str, str]]] = {}
    for row in read_rows(file, _COLUMNS):
        rows.setdefault(row["filename"], []).append(row)
    for filename, entries in rows.items():
        image = folder.find(filename)
        if image is None:
            builder.notes.add(IMAGE_NOT_FOUND, filename)
        else:
            builder.add(image, _objects(entries, builder), f"{file.name}: {filename}", _size(entries[0]))
    names = {row["class"] for path in parts.values() for row in read_rows(path, _COLUMNS)} - {""}
    return builder.finish(names=sorted(names))


def _tables(folder: Path) -> list[Path]:
    tables = [path for path in list_files(folder, (".csv",), recursive=False) if is_voc_table(path)]
    if not tables and not split_folders(folder):
        raise AnnotationError(f"{folder} has no table of boxes; give the .csv file")
    return tables


def _parts(source: Path) -> dict[str, Path]:
    if is_file(source) or _tables(source):
        return {}
    found = {split: _tables(part) for split, part in split_folders(source).items()}
    return {split: tables[0] for split, tables in found.items() if tables}


def _objects(rows: list[dict[str, str]], builder: ContentBuilder) -> list[LabeledShape]:
    objects = []
    for row in rows:
        case = f"{row['filename']}, line {row['line']}"
        corners = parse_numbers(row[name] for name in _COLUMNS[2:])
        if not row["class"]:
            builder.notes.add(OBJECT_WITHOUT_CLASS, case)
        elif corners is None:
            builder.notes.add(OBJECT_UNREADABLE, case)
        else:
            objects.append(LabeledShape(row["class"], voc_box(corners, builder.notes, case)))
    return objects


def _size(row: dict[str, str]) -> Size | None:
    height, width = (parse_number(row.get(name, "")) for name in ("height", "width"))
    return (int(height), int(width)) if height and width and min(height, width) >= 1 else None
