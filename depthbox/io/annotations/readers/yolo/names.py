"""Lists of class names beside YOLO labels, as labelImg, Label Studio and darknet write them."""

from __future__ import annotations

import re
from pathlib import Path

from ...records import AnnotationError
from ..documents import read_text
from ..image_files import child_folder, list_files, split_folders

NAMES_FILES = ("obj.names", "classes.txt", "_darknet.labels", "classes.names", "predefined_classes.txt", "labels.txt")
LIST_FILES = ("train.txt", "val.txt", "valid.txt", "test.txt")
MOST_CLASSES = 100_000
_LABEL_LINE = re.compile(r"^\s*\d+(\.0*)?([\s,;]+-?[\d.eE+-]+){4,}\s*$")
_PEEKED_LABELS = 20


def has_labels(folder: Path) -> bool:
    """Return whether one of the first text files of a folder and its subfolders has the form of YOLO labels."""
    names = NAMES_FILES + LIST_FILES
    files = [path for path in list_files(folder, (".txt",)) if path.name.lower() not in names]
    return any(_is_label_file(path) for path in files[:_PEEKED_LABELS])


def find_names_file(folder: Path) -> Path | None:
    """Return a list of class names that belongs to label files."""
    labels = child_folder(folder, "labels")
    places = [folder, *split_folders(folder).values()]
    if labels is not None:
        places += [labels, *split_folders(labels).values()]
    for place in places:
        names = {path.name.lower(): path for path in _text_files(place)}
        for name in (*NAMES_FILES, *(key for key in names if key.endswith(".names"))):
            if name in names and has_labels(folder):
                return names[name]
    return None


def _text_files(folder: Path) -> list[Path]:
    return list_files(folder, (".txt", ".names", ".labels"), recursive=False)


def read_names(file: Path) -> dict[int, str]:
    """Return class number -> name from a text file with one name per line.

    Raises:
        AnnotationError: the file cannot be read, or holds an empty line between names.
    """
    lines = [line.strip() for line in read_text(file).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or "" in lines or len(lines) > MOST_CLASSES:
        raise AnnotationError(f"{file} must hold one class name per line; correct it")
    return dict(enumerate(lines))


def read_pairs(file: Path) -> dict[str, str]:
    """Return the "key = value" lines of darknet's .data file; none if it cannot be read."""
    try:
        lines = read_text(file).splitlines()
    except AnnotationError:
        return {}
    pairs = (line.split("#")[0].partition("=") for line in lines)
    return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}


def _is_label_file(path: Path) -> bool:
    try:
        lines = [line for line in read_text(path).splitlines() if line.strip()]
    except AnnotationError:
        return False
    return bool(lines) and all(_LABEL_LINE.match(line) for line in lines[:3])
