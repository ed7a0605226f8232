"""COCO JSON files of canonical datasets."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...files import atomic_open
from ..records import AnnotationSet, CocoContent, OriginalIds

_CHUNK = 1 << 20
_FINITE = ("segmentation", "bbox", "point_coords", "point_labels")  # in canonical form


def write_coco(content: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write COCO content as a JSON file, complete or not at all.

    Args:
        content: COCO content; entries of lists are written one after the other, so that little memory is needed.
        path: the file.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written.
        TypeError: the content holds values that JSON does not have.
    """
    path = Path(path)
    with atomic_open(path, tidy=True) as file:
        pieces: list[str] = []
        size = 0
        for piece in _pieces(content):
            pieces.append(piece)
            size += len(piece)
            if size > _CHUNK:
                file.write("".join(pieces).encode("ascii"))
                pieces, size = [], 0
        file.write("".join(pieces).encode("ascii"))
    return path


def repaired_coco(annotations: AnnotationSet) -> CocoContent:
    """Return COCO content that any COCO tool reads: the canonical content with the user's ids.

    Ids of a list are kept if all of them are distinct integers, of annotations from 1 on, else of images and categories
    from 0 on; otherwise the canonical ids stay. ``ignore`` is set to 0, because ``iscrowd`` replaces it. NaN and
    infinity in further keys become null.
    """
    ids = repaired_ids(annotations)
    images, categories, numbers = ids.images, ids.categories, ids.annotations
    lists = ("images", "annotations", "categories")
    content = {key: _to_json(value) for key, value in annotations.content.items() if key not in lists}
    content["images"] = [_with_id(entry, images) for entry in annotations.content["images"]]
    content["categories"] = [_with_id(entry, categories) for entry in annotations.content["categories"]]
    content["annotations"] = [
        {
            **_with_id(entry, numbers),
            **({"ignore": 0} if "ignore" in entry else {}),
            "image_id": images.get(entry["image_id"], entry["image_id"]),
            "category_id": categories.get(entry["category_id"], entry["category_id"]),
        }
        for entry in annotations.content["annotations"]
    ]
    return content


def repaired_ids(annotations: AnnotationSet) -> OriginalIds:
    """Return the ids of ``repaired_coco``: canonical id -> id in the repaired content."""
    ids = annotations.ids
    return OriginalIds(_usable_ids(ids.images, 0), _usable_ids(ids.annotations, 1), _usable_ids(ids.categories, 0))


def _pieces(content: Mapping[str, Any]) -> Iterable[str]:
    yield "{"
    for index, (key, value) in enumerate(content.items()):
        yield f"{', ' * bool(index)}{json.dumps(key)}: "
        if not isinstance(value, list):
            yield json.dumps(value)
            continue
        yield "["
        for place, entry in enumerate(value):
            yield ", " * bool(place) + json.dumps(entry)
        yield "]"
    yield "}"


def _usable_ids(ids: Mapping[int, Any], least: int) -> dict[int, int]:
    """Return canonical id -> the user's id if these are usable, else canonical id -> itself."""
    values = list(ids.values())
    usable = all(type(value) is int and value >= least for value in values) and len(set(values)) == len(values)
    return dict(ids) if usable else {number: number for number in ids}


def _with_id(entry: dict[str, Any], ids: Mapping[int, int]) -> dict[str, Any]:
    return {**_to_json(entry, skip=_FINITE), "id": ids.get(entry["id"], entry["id"])}


def _to_json(value: Any, skip: tuple[str, ...] = ()) -> Any:
    """Return a value without NaN and infinity; the keys of ``skip`` are known to be free of them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: part if key in skip else _to_json(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_to_json(part) for part in value]
    return value
