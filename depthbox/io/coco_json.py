"""The boxes that are to be labelled: a COCO json, and what keeps some of them from getting a mask."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
_LISTS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class BoxFile:
    """A COCO json of boxes.

    Attributes:
        path: of the file.
        content: all of it, unchanged.
        images: its images, in order.
        by_image: image id -> the annotations whose boxes get a mask, in order.
        problems: a line for each annotation that cannot get one.
        crowds: annotations with iscrowd 1, which stay as they are.
    """

    path: Path
    content: Entry
    images: list[Entry]
    by_image: dict[Any, list[Entry]]
    problems: list[str] = field(default_factory=list)
    crowds: int = 0


def read_boxes(path: Path) -> BoxFile:
    """Read the json and sort out the boxes that cannot get a mask.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no COCO json: the message says what is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no valid json: {error}") from error
    missing = [name for name in _LISTS if not (isinstance(content, dict) and isinstance(content.get(name), list))]
    if missing:
        raise ValueError(
            f"{path} is no COCO json, the lists {', '.join(missing)} are missing; `depthbox check` says more"
        )
    images: dict[Any, Entry] = {}
    for image in content["images"]:
        _check_image(path, image, images)
        images[image["id"]] = image
    return _sort_out(path, content, images)


def _check_image(path: Path, image: Any, known: Mapping[Any, Entry]) -> None:
    if not (isinstance(image, dict) and _is_id(image.get("id")) and isinstance(image.get("file_name"), str)):
        raise ValueError(f"{path}: an image has no id and file_name: {str(image)[:200]}")
    if image["id"] in known:
        raise ValueError(f"{path}: the image id {image['id']} is used twice; `depthbox check` lists them all")


def _sort_out(path: Path, content: Entry, images: dict[Any, Entry]) -> BoxFile:
    by_image: dict[Any, list[Entry]] = {number: [] for number in images}
    seen: set[Any] = set()
    problems, crowds = [], 0
    for place, annotation in enumerate(content["annotations"]):
        if not (isinstance(annotation, dict) and _is_id(annotation.get("id"))):
            raise ValueError(f"{path}: annotations[{place}] has no id: {str(annotation)[:200]}")
        if annotation["id"] in seen:
            raise ValueError(f"{path}: the annotation id {annotation['id']} is used twice; give each its own")
        seen.add(annotation["id"])
        problem = box_problem(annotation, images)
        if annotation.get("iscrowd", 0) == 1:
            crowds += 1
        elif problem:
            problems.append(problem)
        else:
            by_image[annotation["image_id"]].append(annotation)
    return BoxFile(path, content, list(images.values()), by_image, problems, crowds)


def box_problem(annotation: Entry, images: Mapping[Any, Entry]) -> str:
    """Why an annotation's box cannot get a mask, in words; "" where it can."""
    where = f"annotation {annotation['id']}"
    number = annotation.get("image_id")
    if not _is_id(number) or number not in images:
        return f"{where}: the json has no image {number}"
    where += f" of {images[number]['file_name']}"
    box = annotation.get("bbox")
    if not (isinstance(box, list) and len(box) == 4 and all(_is_finite(value) for value in box)):
        return f"{where}: the bbox {box} is not four finite numbers [x, y, width, height]"
    if box[2] <= 0 or box[3] <= 0:
        return f"{where}: the bbox {box} has no area"
    return ""


def clip_box(box: list[float], size: tuple[int, int]) -> list[float] | None:
    """A COCO box as xyxy within an image of (height, width); None where less than half a pixel of it is inside."""
    x0, y0 = max(box[0], 0.0), max(box[1], 0.0)
    x1, y1 = min(box[0] + box[2], float(size[1])), min(box[1] + box[3], float(size[0]))
    return [x0, y0, x1, y1] if x1 - x0 >= 0.5 and y1 - y0 >= 0.5 else None


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
