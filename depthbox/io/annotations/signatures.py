"""Recognition of annotation formats by file names and a look into the files, with the export to make if unsupported."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..untrusted.json_files import parse_first_entry, try_parse_json
from .readers.coco_files import is_coco, is_coco_file
from .readers.documents import MEGABYTE
from .readers.image_files import IMAGE_SUFFIXES, child_folder, child_folders, list_files
from .readers.labelme import is_labelme
from .readers.labelstudio import is_label_studio
from .records import AnnotationError, Format

ACCEPTED = (
    "a COCO JSON file, the data.yaml of YOLO, a folder of Pascal VOC, the annotations.xml of CVAT for images 1.1,"
    " a Label Studio JSON export, a folder of LabelMe JSON files, a CSV file of Open Images"
    " or a CSV file of points (image, x, y, class)"
)
_AS_COCO = "export the annotations as COCO"
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z")
_SUFFIXES = {
    (".tfrecord", ".tfrecords", ".record"): ("a TFRecord file", _AS_COCO),
    (".ndjson", ".jsonl"): ("a file of JSON lines, as Labelbox and Ultralytics HUB write it", _AS_COCO),
    (".parquet", ".arrow"): ("a table of Hugging Face datasets", _AS_COCO),
    (".geojson",): ("GeoJSON", _AS_COCO),
    (".mat",): ("a MATLAB file", _AS_COCO),
    tuple(IMAGE_SUFFIXES): ("an image", "give its annotations"),
}
_PARSED = 32 * MEGABYTE
_PEEK = MEGABYTE
_PROLOG = re.compile(r"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(\[.*?\])?\s*>", re.DOTALL)
_TAG = re.compile(r"<([A-Za-z_][\w.-]*)")
_LABELME_KEYS = re.compile(rb'"(shapes|imagePath|imageHeight)"\s*:')
_KITTI = re.compile(r"^[A-Za-z_]+( -?[\d.]+){14,15}\s*$")
_DOTA = re.compile(r"^(imagesource:|(-?[\d.]+ ){8}\S+ \d\s*$)")


def json_format(path: Path) -> Format | None:
    """Return the format of a JSON file; None if its content is not known, or not valid JSON.

    Raises:
        AnnotationError: the format is known, but not supported.
    """
    size = path.stat().st_size
    content = _peek_json(path) if size > _PARSED else try_parse_json(path.read_bytes())
    if is_coco(content) or (size > _PARSED and content is None and is_coco_file(path)):
        return "coco"
    if is_labelme(content) or (size > _PARSED and content is None and _has_labelme_keys(path)):
        return "labelme"
    if is_label_studio(content):
        return "labelstudio"
    refuse_json(path, content)
    return None


def xml_root_tag(path: Path) -> str:
    """Return the name of the first element of an XML file; "" if there is none."""
    with path.open("rb") as file:
        data = file.read(_PEEK)
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    match = _TAG.search(_PROLOG.sub("", data.decode(encoding, errors="replace")))
    return match[1] if match else ""


def refuse_file(path: Path) -> None:
    """Refuse a file whose suffix belongs to a known format that is not supported.

    Raises:
        AnnotationError: always for such a file; it names the export to make.
    """
    if path.suffix.lower() in _ARCHIVES:
        raise AnnotationError(f"{path} is an archive; unpack it, and give the folder")
    for suffixes, (name, remedy) in _SUFFIXES.items():
        if path.suffix.lower() in suffixes:
            raise AnnotationError(f"{path} is {name}, not annotations that can be read; {remedy}")


def refuse_folder(folder: Path) -> None:
    """Refuse a folder of a known format that is not supported.

    Raises:
        AnnotationError: the folder has such a format; it names the export to make.
    """
    name = _unsupported_folder(folder)
    if name:
        raise AnnotationError(f"{folder} is {name}, which cannot be read; {_AS_COCO}")
    for path in list_files(folder, (*_ARCHIVES, ".tfrecord", ".tfrecords", ".record", ".parquet"), recursive=False):
        refuse_file(path)


def refuse_json(path: Path, content: Any) -> None:
    """Refuse a JSON file of a known format that is not supported.

    Raises:
        AnnotationError: the content has such a format; it names the export to make.
    """
    entries = content if isinstance(content, list) else [content]
    entry = entries[0] if entries and isinstance(entries[0], dict) else {}
    kinds = _LISTS if isinstance(content, list) else _OBJECTS
    for test, name, remedy in kinds:
        if entry and test(entry):
            raise AnnotationError(f"{path} is {name}, which cannot be read; {remedy}")


def _has(*keys: str) -> Callable[[dict[str, Any]], bool]:
    return lambda entry: all(key in entry for key in keys)


def _is_via(entry: dict[str, Any]) -> bool:
    values = list(entry.values())[:3]
    return "_via_img_metadata" in entry or all(isinstance(v, dict) and "regions" in v for v in values)


_Signature = tuple[Callable[[dict[str, Any]], bool], str, str]
_LISTS: tuple[_Signature, ...] = (
    (_has("image_id", "score"), "a list of COCO results", "give the annotations, not the predictions"),
    (_has("image_id", "bbox"), "a list of annotations without images", "give the complete COCO JSON file"),
    (_has("image_id", "point_coords"), "a list of annotations without images", "give the complete COCO JSON file"),
    (_has("data_row"), "a Labelbox export", _AS_COCO),
    (_has("Labeled Data"), "a Labelbox export", _AS_COCO),
    (_has("image", "annotations"), "CreateML JSON", _AS_COCO),
    (_has("imagefilename", "annotation"), "CreateML JSON", _AS_COCO),
    (_has("name", "labels"), "BDD100K or Scalabel JSON", _AS_COCO),
    (_has("name", "frames"), "BDD100K or Scalabel JSON", _AS_COCO),
    (_has("data"), "a Label Studio file of tasks without annotations", "export the project as JSON"),
)
_OBJECTS: tuple[_Signature, ...] = (
    (lambda entry: entry.get("type") == "FeatureCollection", "GeoJSON", _AS_COCO),
    (_is_via, "a project of the VGG Image Annotator", "export it with 'Export Annotations (COCO format)'"),
    (_has("imgHeight", "objects"), "Cityscapes JSON", "convert the dataset to COCO first"),
    (_has("size", "objects"), "a Supervisely annotation", "export the project as COCO"),
    (_has("classes", "projectType"), "the meta.json of Supervisely", "export the project as COCO"),
    (_has("items", "categories"), "Datumaro JSON", _AS_COCO),
    (_has("item", "annotations"), "V7 Darwin JSON", _AS_COCO),
    (_has("frames"), "BDD100K or Scalabel JSON", _AS_COCO),
    (_has("data_row"), "a Labelbox export", _AS_COCO),
)


def _unsupported_folder(folder: Path) -> str:
    if (folder / "meta.json").is_file() and any((child / "ann").is_dir() for child in (folder, *child_folders(folder))):
        return "a Supervisely project"
    if child_folder(folder, "gtFine", "gtCoarse") is not None:
        return "a Cityscapes folder"
    if child_folder(folder, "labelTxt") is not None or _first_lines(folder, _DOTA):
        return "DOTA"
    if child_folder(folder, "label_2") is not None or _first_lines(folder, _KITTI):
        return "KITTI"
    return ""


def _first_lines(folder: Path, pattern: re.Pattern[str]) -> bool:
    places = [folder, *(child for child in child_folders(folder) if child.name.lower().startswith(("label", "annot")))]
    files = [path for place in places for path in list_files(place, (".txt",), recursive=False)[:3]]
    return any(pattern.match(line) for path in files for line in _peek_lines(path))


def _peek_lines(path: Path) -> Iterable[str]:
    with path.open("rb") as file:
        return file.readline(1000).decode("utf-8", errors="replace").splitlines()


def _peek_json(path: Path) -> Any:
    """Return a list with the first entry of a large JSON list; None for an object, or if the entry is large."""
    with path.open("rb") as file:
        text = file.read(_PEEK).decode("utf-8", errors="replace").removeprefix("\ufeff").lstrip()
    first = parse_first_entry(text)
    return None if first is None else [first]


def _has_labelme_keys(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_PEEK)
        file.seek(-_PEEK, 2)
        return {b"shapes", b"imagePath"} <= set(_LABELME_KEYS.findall(head + file.read(_PEEK)))
