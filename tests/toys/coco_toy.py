"""Tiny COCO datasets for tests of the input layer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from depthbox.io.annotations.canonical import canonicalize
from depthbox.io.annotations.records import AnnotationSet, RawAnnotations

HEIGHT, WIDTH = 40, 60
SQUARE = [[10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]]


def coco(count: int = 3, objects: int = 2) -> dict[str, Any]:
    """Return content of ``count`` images 0.png, 1.png, ... with ``objects`` boxes each and the classes cat and dog."""
    images = [{"id": n + 1, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in range(count)]
    annotations = [
        {
            "id": n * objects + k + 1,
            "image_id": n + 1,
            "category_id": k % 2 + 1,
            "bbox": [5 + k, 6, 20, 15],
            "area": 300,
            "iscrowd": 0,
        }
        for n in range(count)
        for k in range(objects)
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def raw(content: Any, root: Path = Path(".")) -> RawAnnotations:
    """Return content as a reader does."""
    return RawAnnotations(Path("boxes.json"), "coco", root, content)


def canonical(content: Any) -> AnnotationSet:
    """Return content in canonical form, without a look at files."""
    return canonicalize(raw(content), check_files=False)


def rules(result: AnnotationSet) -> dict[str, int]:
    """Return rule -> count of the notes."""
    return {note.rule: note.count for note in result.notes}


def write_images(folder: Path, names: list[str], size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    """Write gray images of (height, width) ``size``."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(size, 90, dtype=np.uint8)).save(path)


def write_json(path: Path, content: Any) -> Path:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
