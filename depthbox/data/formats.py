"""Boxes in the folders of YOLO and Pascal VOC -> one COCO json, read by the library supervision."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from ..io.files import atomic_open

Format = Literal["coco", "yolo", "voc"]
Coco = dict[str, Any]
FORMATS: tuple[Format, ...] = ("coco", "yolo", "voc")
_YAML = (".yaml", ".yml")
_VOC_IMAGES = ("JPEGImages", "images", ".")


class FormatError(ValueError):
    """Annotations that cannot be found or read; the message says what to change."""


@dataclass(frozen=True)
class BoxFolder:
    """Boxes as YOLO or Pascal VOC keep them.

    Attributes:
        kind: "yolo" or "voc".
        annotations: folder of the .txt or .xml files, named as the images.
        images: folder of the images.
        names_file: YOLO's yaml with the classes' names; None for VOC, which writes them out.
    """

    kind: Format
    annotations: Path
    images: Path
    names_file: Path | None = None


def find_format(data: Path) -> Format:
    """What kind of annotations a path is, from its name and what lies in it.

    Args:
        data: a COCO .json, YOLO's data.yaml or the folder that holds it, or a folder of Pascal VOC (with
            ``Annotations``, or with the .xml files themselves).

    Raises:
        FormatError: nothing is there, or nothing known.
    """
    if not data.exists():
        raise FormatError(f"there is no {data}; give a COCO json, YOLO's data.yaml or a folder of Pascal VOC")
    if data.is_file():
        if data.suffix.lower() in _YAML:
            return "yolo"
        if data.suffix.lower() == ".json":
            return "coco"
    elif any((data / f"data{suffix}").is_file() for suffix in _YAML):
        return "yolo"
    elif (data / "Annotations").is_dir() or any(data.glob("*.xml")):
        return "voc"
    raise FormatError(f"{data} is neither a COCO json nor YOLO's data.yaml nor a folder with .xml files of Pascal VOC")


def yolo_folder(data: Path, split: str, images: Path | None = None) -> BoxFolder | None:
    """The folders of one split of YOLO's data.yaml; labels lie where ``images`` in the path is ``labels``, or beside.

    Args:
        data: the yaml, or the folder that holds it as data.yaml.
        split: "train" or "val".
        images: instead of what the yaml says.

    Returns:
        The folders; None where the yaml does not name the split.

    Raises:
        FormatError: the yaml is broken, or a folder is missing.
    """
    file = data if data.is_file() else next(p for s in _YAML if (p := data / f"data{s}").is_file())
    content = _read_yaml(file)
    if images is None:
        entry = content.get(split, content.get("valid") if split == "val" else None)
        if entry is None:
            return None
        if not isinstance(entry, str) or entry.endswith(".txt"):
            raise FormatError(f"{file}: '{split}' is {entry!r}, not one folder of images; name it with --images")
        images = _yolo_path(file, content, entry)
    parts = list(images.parts)
    labels = images
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        labels = Path(*parts[:last], "labels", *parts[last + 1 :])
    if not labels.is_dir() or not any(labels.glob("*.txt")):
        raise FormatError(f"there are no labels (.txt files) in {labels}, where those of the images in {images} belong")
    return BoxFolder("yolo", labels, images, file)


def voc_folder(data: Path, images: Path | None = None) -> BoxFolder:
    """The folders of Pascal VOC: ``Annotations`` and ``JPEGImages``, or everything in one folder.

    Raises:
        FormatError: there is no such folder.
    """
    annotations = data / "Annotations" if (data / "Annotations").is_dir() else data
    if images is None:
        images = next((data / name for name in _VOC_IMAGES[:2] if (data / name).is_dir()), data)
    return BoxFolder("voc", annotations, images)


def read_boxes(folders: Sequence[BoxFolder], progress: bool = True) -> list[Coco]:
    """Read folders as COCO contents with the same classes; outlines, where there are any, are left out.

    An image without a label file shows no object in YOLO's format, and is left out in VOC's.

    Args:
        folders: of one kind, such as those of training and validation.
        progress: show progress bars.

    Returns:
        For each folder ``images`` (file_name within the folder), ``annotations`` (bbox in pixels: x, y, width, height)
        and ``categories``: YOLO's in the order of its yaml, VOC's sorted by name; ids from 1 on.

    Raises:
        ImportError: supervision is not installed.
        FormatError: a file cannot be read, or there is no image.
    """
    datasets = [_read(folder, progress) for folder in folders]
    names: list[str] = list(datasets[0].classes)
    if folders[0].kind == "voc":
        names = sorted({name for dataset in datasets for name in dataset.classes})
    ids = {name: number for number, name in enumerate(names, 1)}
    return [_coco(folder, dataset, ids) for folder, dataset in zip(folders, datasets, strict=True)]


def write_json(content: Mapping[str, Any], path: Path) -> Path:
    """Write a json, whole or not at all; returns its path."""
    with atomic_open(path) as file:
        file.write(json.dumps(content).encode())
    return path


def _read(folder: BoxFolder, progress: bool) -> Any:
    try:
        import supervision
    except ImportError as error:
        raise ImportError(
            f"reading {folder.kind.upper()} folders needs supervision: pip install 'depthbox[formats]'"
        ) from error
    for path in (folder.images, folder.annotations):
        if not path.is_dir():
            raise FormatError(f"there is no folder {path}; correct --data or --images")
    places: dict[str, Any] = {
        "images_directory_path": str(folder.images),
        "annotations_directory_path": str(folder.annotations),
        "show_progress": progress,
    }
    try:
        if folder.kind == "yolo":
            return supervision.DetectionDataset.from_yolo(**places, data_yaml_path=str(folder.names_file))
        return supervision.DetectionDataset.from_pascal_voc(**places)
    except Exception as error:  # parsers of xml and yaml have exceptions of their own
        raise FormatError(f"the annotations in {folder.annotations} cannot be read: {error}") from error


def _coco(folder: BoxFolder, dataset: Any, ids: Mapping[str, int]) -> Coco:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for path in sorted(dataset.image_paths):
        name = os.path.relpath(path, folder.images)
        if folder.kind == "voc" and not (folder.annotations / f"{Path(name).stem}.xml").is_file():
            continue
        height, width = _image_size(path)
        images.append({"id": len(images) + 1, "file_name": name, "height": height, "width": width})
        found = dataset.annotations[path]
        for (x0, y0, x1, y1), label in zip(found.xyxy.tolist(), (found.class_id if len(found) else ()), strict=True):
            if not 0 <= label < len(dataset.classes):
                raise FormatError(f"the labels of {path} name class {label}, but there are {len(dataset.classes)}")
            box = [round(value, 3) for value in (x0, y0, x1 - x0, y1 - y0)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": ids[dataset.classes[label]],
                    "bbox": box,
                    "area": round(box[2] * box[3], 3),
                    "iscrowd": 0,
                }
            )
    if not images:
        raise FormatError(f"there are no annotated images in {folder.images}; correct --data or --images")
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _image_size(path: str) -> tuple[int, int]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(274) in (5, 6, 7, 8)
    except (OSError, SyntaxError) as error:
        raise FormatError(f"the image {path} cannot be read: {error}") from error
    return (width, height) if turned else (height, width)


def _read_yaml(file: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FormatError(f"{file} is no valid YAML: {error}") from error
    if not isinstance(content, dict) or "names" not in content:
        raise FormatError(f"{file} is not YOLO's data.yaml: it has no 'names' of classes")
    return content


def _yolo_path(file: Path, content: Mapping[str, Any], entry: str) -> Path:
    """The folder of a split: relative to ``path`` in the yaml, or to the yaml itself."""
    root = Path(str(content.get("path") or "."))
    starts = [file.parent / root, root, file.parent]
    # Roboflow writes ../train/images for a folder that lies beside the yaml.
    tries = [start / Path(name) for name in (entry, entry.removeprefix("../")) for start in starts]
    for path in tries:
        if path.is_dir():
            return Path(os.path.normpath(path))
    raise FormatError(f"{file} names the images '{entry}', but there is no {tries[0]}; correct it, or name --images")
