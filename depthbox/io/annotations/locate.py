"""Search for the annotations at a path: their format, and the file or folder that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .readers.coco_files import ROBOFLOW_NAME, find_coco_files
from .readers.image_files import child_folders, is_file, is_folder, list_files, split_folders
from .readers.openimages import find_open_images_tables, is_open_images_table
from .readers.points_table import find_points_tables, is_points_table
from .readers.tables import TABLE_SUFFIXES
from .readers.voc import is_voc_table
from .readers.voc.layout import find_voc_files
from .readers.yolo import find_source_file
from .readers.yolo.names import has_labels
from .records import AnnotationError, Format
from .signatures import ACCEPTED, json_format, refuse_file, refuse_folder, xml_root_tag

_XML_FORMATS: dict[str, Format] = {"annotations": "cvat", "annotation": "voc"}
_PEEKED_FILES = 5
_MOST_LEVELS = 3


@dataclass(frozen=True)
class LocatedAnnotations:
    """Format of annotations, and the file or folder that their reader starts from."""

    kind: Format
    path: Path


def locate_annotations(source: Path) -> LocatedAnnotations:
    """Return the format of a path, and the file or folder that its reader starts from.

    Raises:
        AnnotationError: there is nothing at the path, or nothing that can be read.
    """
    if is_file(source):
        return LocatedAnnotations(_file_format(source), source)
    if not is_folder(source):
        raise AnnotationError(f"{source} does not exist; give {ACCEPTED}")
    folder = source
    for _ in range(_MOST_LEVELS):
        kind = _folder_format(folder)
        if kind is not None:
            return LocatedAnnotations(kind, folder)
        refuse_folder(folder)
        inner = child_folders(folder)
        if len(inner) != 1:
            break
        folder = inner[0]  # an unpacked archive often has one outer folder
    raise AnnotationError(_nothing_found(source))


def _file_format(path: Path) -> Format:
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml", ".data", ".names") or path.name.lower() == "classes.txt":
        return "yolo"
    if suffix == ".json":
        return json_format(path) or "coco"  # the reader of COCO names what is wrong
    if suffix == ".xml":
        tag = xml_root_tag(path)
        if tag in _XML_FORMATS:
            return _XML_FORMATS[tag]
        raise AnnotationError(f"{path} is neither Pascal VOC nor CVAT: its first element is <{tag[:40]}>; {_give()}")
    if suffix in TABLE_SUFFIXES:
        if is_open_images_table(path):
            return "openimages"
        if is_voc_table(path):
            return "voc"
        if is_points_table(path):
            return "points"
        raise AnnotationError(
            f"{path} has neither the columns of Open Images nor of Pascal VOC boxes nor of points (image, x, y, class);"
            f" {_give()}"
        )
    refuse_file(path)
    raise AnnotationError(f"{path} is not an annotation file that can be read; {_give()}")


def _folder_format(folder: Path) -> Format | None:
    if is_file(folder / ROBOFLOW_NAME) or any(is_file(f / ROBOFLOW_NAME) for f in split_folders(folder).values()):
        return "coco"
    if find_source_file(folder) is not None:
        return "yolo"
    return _xml_format(folder) or _json_format(folder) or _csv_format(folder)


def _xml_format(folder: Path) -> Format | None:
    own = list_files(folder, (".xml",), recursive=False)[:_PEEKED_FILES]
    if any(xml_root_tag(path) == "annotations" for path in own):
        return "cvat"
    places = [folder, *split_folders(folder).values()]
    files = [path for place in places for path in find_voc_files(place)[:_PEEKED_FILES]]
    return "voc" if any(xml_root_tag(path) == "annotation" for path in files) else None


def _json_format(folder: Path) -> Format | None:
    if find_coco_files(folder):
        return "coco"
    own = list_files(folder, (".json",), recursive=False)[:_PEEKED_FILES]
    inner = [] if own else [path for place in split_folders(folder).values() for path in _first_json(place)]
    found: set[Format | None] = set()
    refused: AnnotationError | None = None
    for path in own or inner or _first_json(folder):
        try:
            found.add(json_format(path))
        except AnnotationError as error:
            refused = refused or error
    if "labelme" in found:
        return "labelme"
    if "labelstudio" in found and own:
        return "labelstudio"
    if refused is not None:
        raise refused
    return None


def _first_json(folder: Path) -> list[Path]:
    return list_files(folder, (".json",))[:_PEEKED_FILES]


def _csv_format(folder: Path) -> Format | None:
    if find_open_images_tables(folder):
        return "openimages"
    if is_table(folder):
        return "voc"
    return "points" if find_points_tables(folder) else None


def is_table(path: Path) -> bool:
    """Return whether Pascal VOC boxes are a CSV table instead of XML files."""
    if is_file(path):
        return path.suffix.lower() == ".csv"
    places = [path, *split_folders(path).values()]
    if any(find_voc_files(place) for place in places):
        return False
    return any(is_voc_table(file) for place in places for file in list_files(place, (".csv",), recursive=False))


def _nothing_found(folder: Path) -> str:
    above = next((file for parent in folder.resolve().parents[:3] if is_file(file := parent / "data.yaml")), None)
    if above is not None:
        return f"{folder} is a part of the YOLO dataset {above}; give this file"
    if has_labels(folder):
        return f"{folder} has YOLO labels, but no class names; add a data.yaml with 'names', or a classes.txt"
    return f"there are no annotations in {folder} that can be read; {_give()}"


def _give() -> str:
    return f"give {ACCEPTED}"
