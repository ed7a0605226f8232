"""Reader of points in a CSV table: image, x, y, class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..records import AnnotationError, RawAnnotations
from .builder import ContentBuilder
from .coco_files import split_of
from .documents import parse_number
from .image_files import ImageFolder, find_image_folder, is_file, list_files, split_folders
from .rules import DECIMAL_COMMA, IMAGE_NOT_FOUND, OBJECT_WITHOUT_CLASS, shorten
from .shapes import LabeledShape, Point, point_shape
from .tables import TABLE_SUFFIXES, peek_columns, read_rows

ONE_CLASS = "object"
_IMAGE = ("image", "filename", "file", "img", "file_name", "image_name")
_X = ("x", "x_coord", "col")
_Y = ("y", "y_coord", "row")
_CLASS = ("class", "label", "category")
# A table with one of these columns holds boxes.
_OF_BOXES = frozenset(("w", "h", "width", "height", "xmax", "ymax", "x1", "y1", "x2", "y2"))


@dataclass(frozen=True)
class _Columns:
    """Names of the columns of a table; ``label`` is "" in a table of one class."""

    image: str
    x: str
    y: str
    label: str


def is_points_table(path: Path) -> bool:
    """Return whether a CSV file has the columns image, x and y, under one of their names, and no sides of boxes."""
    return _find_columns(path) is not None


def find_points_tables(source: Path) -> dict[str, Path]:
    """Return split -> CSV file of a folder; the key is "" if the dataset has no splits.

    Several tables in one folder are told apart by the names of the splits in their own names.

    Raises:
        AnnotationError: a folder has several tables that are not those of splits.
    """
    if is_file(source):
        return {"": source}
    for part in (source, *split_folders(source).values()):
        tables = _tables(part)
        named = {split_of(path): path for path in tables}
        if len(tables) > 1 and (part != source or "" in named or len(named) < len(tables)):
            names = ", ".join(path.name for path in tables[:4])
            raise AnnotationError(f"{part} has {len(tables)} tables of points ({names}); give one .csv file")
        if part == source and tables:
            return named if len(tables) > 1 else {"": tables[0]}
    found = {split: _tables(part) for split, part in split_folders(source).items()}
    return {split: tables[0] for split, tables in found.items() if tables}


def points_table_splits(source: Path) -> tuple[str, ...]:
    """Return the splits of a dataset; () if it has no splits."""
    return tuple(split for split in find_points_tables(source) if split)


def read_points_table(source: Path, images: Path | None = None, split: str = "train") -> RawAnnotations | None:
    """Return the annotations of a table of points, one object per line.

    Columns are separated by commas, semicolons or tabs. x and y are continuous pixels: (0, 0) is the upper left corner
    of the first pixel. Without a column of classes, all objects have the class "object". A line with an image alone
    lists an image without objects. Classes are sorted by name and the same in every split.

    Args:
        source: the CSV file, its folder, or a folder with one table in each of train, valid and test.
        images: folder of the images; None = search for it.
        split: name of the split, for a dataset with splits.

    Returns:
        The annotations; None if the dataset has splits, but not this one.

    Raises:
        AnnotationError: a line has no image or no readable coordinates, or there are no annotations that can be used.
    """
    tables = find_points_tables(source)
    if not tables:
        raise AnnotationError(f"{source} has no table of points; give a .csv file with the columns image, x, y, class")
    if "" not in tables and split not in tables:
        return None
    file = tables.get(split) or tables[""]
    root = find_image_folder(file.parent, images)
    builder = ContentBuilder(source, "points", root)
    folder = ImageFolder.scan(root)
    for name, objects in _objects(file, builder).items():
        image = folder.find(name)
        if image is None:
            builder.notes.add(IMAGE_NOT_FOUND, name)
        else:
            builder.add(image, objects, f"{file.name}: {name}")
    return builder.finish(names=sorted(_labels(tables.values() if len(tables) > 1 else ())))


def _tables(folder: Path) -> list[Path]:
    return [path for path in list_files(folder, TABLE_SUFFIXES, recursive=False) if is_points_table(path)]


def _find_columns(path: Path) -> _Columns | None:
    columns = peek_columns(path)
    image, x, y, label = (next((name for name in names if name in columns), "") for names in (_IMAGE, _X, _Y, _CLASS))
    if not (image and x and y) or not _OF_BOXES.isdisjoint(columns):
        return None
    return _Columns(image, x, y, label)


def _require_columns(path: Path) -> _Columns:
    columns = _find_columns(path)
    if columns is None:
        raise AnnotationError(f"{path} has not the columns image, x and y; correct its first line")
    return columns


def _objects(file: Path, builder: ContentBuilder) -> dict[str, list[LabeledShape]]:
    """Return image name -> objects, in the order of the table."""
    columns = _require_columns(file)
    found: dict[str, list[LabeledShape]] = {}
    for row in read_rows(file, ()):
        case = f"{file}, line {row['line']}"
        name, label = row[columns.image], row[columns.label] if columns.label else ONE_CLASS
        if not name:
            raise AnnotationError(f"{case}: the name of the image is empty; correct this line")
        objects = found.setdefault(name, [])
        if not (row[columns.x] or row[columns.y]):
            continue  # an image without objects
        point = _point(row, columns, case, builder)
        if label:
            objects.append(LabeledShape(label, point_shape([point])))
        else:
            builder.notes.add(OBJECT_WITHOUT_CLASS, f"{name}, line {row['line']}")
    return found


def _point(row: dict[str, str], columns: _Columns, case: str, builder: ContentBuilder) -> Point:
    values = []
    for axis, column in (("x", columns.x), ("y", columns.y)):
        text = row[column]
        number = parse_number(text.replace(",", "."))
        if number is None:
            raise AnnotationError(f"{case}: {axis} is '{shorten(text, 40)}', not a number of pixels; correct this line")
        builder.notes.add(DECIMAL_COMMA, case, int("," in text))
        values.append(number)
    return values[0], values[1]


def _labels(files: Iterable[Path]) -> set[str]:
    """Return the class names in the tables of all splits."""
    found: set[str] = set()
    for path in files:
        columns = _require_columns(path)
        found |= {row[columns.label] if columns.label else ONE_CLASS for row in read_rows(path, ())}
    return found - {""}
