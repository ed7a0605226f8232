"""COCO JSON files of a folder, and the split that each of them holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ...untrusted.json_files import MAX_JSON_BYTES, try_parse_json
from .image_files import SPLIT_NAMES, child_folder, is_file, list_files, split_folders

ROBOFLOW_NAME = "_annotations.coco.json"
_FOLDERS = ("annotations", "annotation", "labels")
_PEEK = 2**20
_KEYS = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')


def find_coco_files(source: Path) -> dict[str, Path]:
    """Return split -> COCO JSON file of a folder; the key is "" if the dataset has no splits.

    The files may lie in folders named train, valid and test, in the folder itself or in a subfolder of annotations.
    Several files in one folder are told apart by the names of the splits in their own names.
    """
    if is_file(source):
        return {"": source}
    if is_file(source / ROBOFLOW_NAME):
        return {"": source / ROBOFLOW_NAME}
    parts = {split: found[0] for split, part in split_folders(source).items() if len(found := _list(part)) == 1}
    if "train" in parts:
        return parts
    for place in (source, child_folder(source, *_FOLDERS)):
        files = [] if place is None else _list(place)
        instances = [path for path in files if path.name.lower().startswith("instances")]
        files = instances or files
        if len(files) == 1:
            return {"": files[0]}
        named = {split: path for split in SPLIT_NAMES for path in files if split_of(path) == split}
        if files and len(named) == len(files):
            return named
    return parts


def is_coco_file(path: Path) -> bool:
    """Return whether a JSON file has COCO's lists; of a large file, only both ends are read."""
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            return False
        with path.open("rb") as file:
            data = file.read(_PEEK)
            if size > _PEEK:
                file.seek(max(size - _PEEK, _PEEK))
                data += b"\n" + file.read(_PEEK)
    except OSError:
        return False
    if size <= _PEEK:
        return is_coco(try_parse_json(data))
    return {b"images", b"annotations"} <= set(_KEYS.findall(data)) or (
        data.lstrip()[:1] == b"{" and len(set(_KEYS.findall(data))) > 1
    )


def is_coco(content: Any) -> bool:
    """Return whether the content of a JSON file has COCO's lists of images and annotations."""
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations"))


def split_of(path: Path) -> str:
    """Return the split that the name of a file contains as a word; "" if none."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((split for split, names in SPLIT_NAMES.items() if any(word in names for word in words)), "")


def _list(folder: Path) -> list[Path]:
    if is_file(folder / ROBOFLOW_NAME):
        return [folder / ROBOFLOW_NAME]
    return [path for path in list_files(folder, (".json",), recursive=False) if is_coco_file(path)]
