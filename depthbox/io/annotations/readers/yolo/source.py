"""Class names and splits of a YOLO dataset: a YAML file, darknet's .data file, or a list of names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....yaml_files import YamlError, parse_yaml
from ...records import AnnotationError
from ..documents import MEGABYTE, parse_number, read_text
from ..image_files import SPLIT_NAMES, child_folder, is_file, is_folder, list_files
from ..rules import shorten
from .names import MOST_CLASSES, find_names_file, read_names, read_pairs

YAML_SUFFIXES = (".yaml", ".yml")
_YAML_LIMIT = 8 * MEGABYTE
EMPTY = ("", "null", "~", "none")


@dataclass(frozen=True)
class YoloSource:
    """Class names and splits of a dataset.

    Attributes:
        file: the file that holds the class names.
        root: folder that the entries of the splits are relative to.
        names: class number -> name.
        keypoints: numbers of a pose label after its box; 0 = the labels are not poses.
        entries: split -> folders or lists of images; empty = the whole folder is one set.
        foreign_path: ``path`` of the YAML file if this folder does not exist here.
        count: ``nc`` of the YAML file; None if it is missing.
    """

    file: Path
    root: Path
    names: Mapping[int, str]
    keypoints: int = 0
    entries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    foreign_path: str = ""
    count: int | None = None


def find_source_file(folder: Path) -> Path | None:
    """Return the file with the class names of the YOLO dataset in a folder; None if there is none.

    Raises:
        AnnotationError: several YAML files have class names.
    """
    found = [path for path in list_files(folder, YAML_SUFFIXES, recursive=False) if _has_classes(path)]
    for name in ("data", "dataset"):
        preferred = [path for path in found if path.stem.lower() == name]
        if preferred:
            return preferred[0]
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:5])
        raise AnnotationError(f"{folder} has several YAML files with class names ({names}); give one of them")
    if found:
        return found[0]
    for path in list_files(folder, (".data",), recursive=False):
        if "names" in read_pairs(path):
            return path
    return find_names_file(folder)


def load_source(source: Path) -> YoloSource:
    """Return the class names and splits of a dataset.

    Args:
        source: its folder, its YAML or .data file, or its list of class names.

    Raises:
        AnnotationError: the file does not exist or cannot be read.
    """
    file = source if is_file(source) else find_source_file(source)
    if file is None:
        raise AnnotationError(f"{source} has no YAML file with the class names ('names'); add a data.yaml")
    if file.suffix.lower() in YAML_SUFFIXES:
        return _load_yaml(file)
    if file.suffix.lower() == ".data":
        return _load_pairs(file)
    root = source if is_folder(source) else _dataset_folder(file)
    return YoloSource(file, root, read_names(file), entries=find_entries(root))


def find_entries(root: Path) -> dict[str, tuple[str, ...]]:
    """Return the splits that the folders of a dataset show: images/train, train/images or train, and so on."""
    images = child_folder(root, "images")
    for place in (images, root):
        found: dict[str, tuple[str, ...]] = {}
        for split, names in SPLIT_NAMES.items():
            folder = None if place is None else child_folder(place, *names)
            if folder is not None:
                found[split] = (folder.relative_to(root).as_posix(),)
        if "train" in found:
            return found
    return {}


def _dataset_folder(file: Path) -> Path:
    """Return the folder of the dataset that a list of class names belongs to."""
    folder = file.parent
    inner = ("labels", *(name for names in SPLIT_NAMES.values() for name in names))
    while folder.name.lower() in inner:
        folder = folder.parent
    return folder


def _load_yaml(file: Path) -> YoloSource:
    content = _read_yaml(file)
    count = _whole(content.get("nc"))
    names = _yaml_names(file, content)
    path = _text(content.get("path"))
    roots = [] if path in EMPTY else [file.parent / path.replace("\\", "/"), Path(path)]
    root = Path(os.path.normpath(next((root for root in roots if is_folder(root)), file.parent)))
    foreign = path if roots and not any(is_folder(candidate) for candidate in roots) else ""
    entries = {}
    for split, others in SPLIT_NAMES.items():
        for key in others:
            if split not in entries and (entry := _entry(file, key, content.get(key))):
                entries[split] = entry
    keypoints = _keypoints(file, content.get("kpt_shape"))
    return YoloSource(file, root, names, keypoints, entries or find_entries(root), foreign, count)


def _load_pairs(file: Path) -> YoloSource:
    pairs = read_pairs(file)
    root = file.parent
    tail = Path(pairs.get("names", "").replace("\\", "/"))
    found = [path for path in (root / tail, root / tail.name) if is_file(path)]
    if not found:
        raise AnnotationError(
            f"{file} names the classes '{shorten(tail)}', but {root / tail.name} does not exist; add it"
        )
    entries = {}
    for split, names in SPLIT_NAMES.items():
        entry = next((pairs[name] for name in names if pairs.get(name, "").lower() not in EMPTY), None)
        if entry is not None:
            entries[split] = (entry,)
    return YoloSource(file, root, read_names(found[0]), entries=entries or find_entries(root))


def _read_yaml(file: Path) -> Mapping[str, Any]:
    content = _parse_yaml(file)
    if not _is_dataset(content):
        raise AnnotationError(f"{file} is not a YOLO dataset: it has no 'names' of the classes; add them")
    return content


def _parse_yaml(file: Path) -> Any:
    """Return the content of a YAML file. Its values are texts: a class named ``no`` is not a truth value."""
    text = read_text(file, _YAML_LIMIT)
    try:
        return parse_yaml(text, str(file), as_text=True)
    except YamlError as error:
        raise AnnotationError(str(error)) from error


def _is_dataset(content: Any) -> bool:
    return isinstance(content, dict) and ("names" in content or "nc" in content) and "backbone" not in content


def _yaml_names(file: Path, content: Mapping[str, Any]) -> dict[int, str]:
    names = content.get("names")
    if isinstance(names, str) and names.strip().lower() not in EMPTY:
        listed = file.parent / names.strip()
        if not is_file(listed):
            raise AnnotationError(f"{file}: 'names' is '{shorten(names)}', not a list of class names; write a list")
        return read_names(listed)
    if isinstance(names, list) and names:
        return {number: _class_name(file, name) for number, name in enumerate(names)}
    if isinstance(names, dict) and names:
        numbers = {_whole(number): name for number, name in names.items()}
        if None in numbers or len(numbers) != len(names):
            raise AnnotationError(f"{file}: the keys of 'names' must be the class numbers 0, 1, ...; correct them")
        return {number: _class_name(file, numbers[number]) for number in sorted(n for n in numbers if n is not None)}
    count = _whole(content.get("nc"))
    if not count or count > MOST_CLASSES:
        raise AnnotationError(f"{file} has no 'names' of the classes; add a list of them")
    return {number: f"class {number}" for number in range(count)}


def _class_name(file: Path, name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise AnnotationError(f"{file}: 'names' holds an entry that is not a class name; write one text per class")
    return name.strip()


def _entry(file: Path, key: str, value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    texts = tuple(_text(item) for item in values if item is not None)
    if any(not isinstance(item, str) for item in values if item is not None):
        raise AnnotationError(f"{file}: '{key}' must be a folder of images, a list of folders or a .txt file")
    return tuple(text for text in texts if text.lower() not in EMPTY)


def _keypoints(file: Path, shape: Any) -> int:
    if shape is None or (isinstance(shape, str) and shape.strip().lower() in EMPTY):
        return 0
    sides = [_whole(side) for side in shape] if isinstance(shape, list) else []
    if len(sides) != 2 or not sides[0] or sides[1] not in (2, 3):
        raise AnnotationError(f"{file}: 'kpt_shape' must be [number of keypoints, 2 or 3]; correct or remove it")
    return sides[0] * sides[1]


def _has_classes(path: Path) -> bool:
    """Return whether a YAML file is meant as a YOLO dataset; a broken data.yaml is, so that its error is given."""
    try:
        content = _parse_yaml(path)
    except AnnotationError:
        return path.stem.lower() == "data"
    return _is_dataset(content) or (isinstance(content, dict) and "train" in content and path.stem.lower() == "data")


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    number = parse_number(value)
    return int(number) if number is not None and number >= 0 and number == int(number) else None
