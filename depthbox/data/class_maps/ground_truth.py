"""Class maps drawn from ground-truth masks: the upper bound of every other source of class maps."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ...io.annotations.records import AnnotationSet
from ...io.coco_masks import segmentation_to_rle
from ...io.files import atomic_open
from .point_seeds import UNKNOWN

MAX_CLASSES = UNKNOWN - 1
_BAR_INTERVAL = 0.1 if sys.stderr.isatty() else 15.0  # seconds between two updates of the progress bar


@dataclass(frozen=True)
class ClassMapReport:
    """Counts of the written class maps.

    Attributes:
        images: number of class maps.
        objects: number of objects drawn.
        crowds: number of crowds, whose pixels are unknown.
    """

    images: int
    objects: int
    crowds: int


def draw_class_map(objects: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw the masks of an image; where masks overlap, the smallest is on top.

    Args:
        objects: canonical annotations with ``segmentation``, ``category_id`` (from 1) and ``iscrowd``.
        size: (height, width) of the image.

    Returns:
        (height, width) uint8: 0 background, the category id (class + 1) of an object, 255 at crowds outside of objects.

    Raises:
        ValueError: a segmentation is malformed or has another size.
    """
    rles = [segmentation_to_rle(entry["segmentation"], size) for entry in objects]
    areas = [int(mask_util.area(rle)) for rle in rles]
    result = np.zeros(size, dtype=np.uint8)
    for index in sorted(range(len(objects)), key=lambda i: (-objects[i]["iscrowd"], -areas[i])):
        entry = objects[index]
        result[mask_util.decode(rles[index]) == 1] = UNKNOWN if entry["iscrowd"] else entry["category_id"]
    return result


def write_class_maps(
    annotations: AnnotationSet, folder: str | os.PathLike[str], *, progress: bool = False
) -> ClassMapReport:
    """Write a class map for each image, named as the image but ending in .png.

    Args:
        annotations: annotations with a mask of each object.
        folder: folder of the class maps; existing maps of the same names are replaced.
        progress: show a progress bar.

    Raises:
        ValueError: an object has no mask, there are more than 254 classes, or two images have names that differ in
            their suffix only.
        WriteError: a file cannot be written.
    """
    content = annotations.content
    _check(annotations)
    objects: dict[int, list[Mapping[str, Any]]] = {image["id"]: [] for image in content["images"]}
    for entry in content["annotations"]:
        if "segmentation" in entry:
            objects[entry["image_id"]].append(entry)
    images = tqdm(content["images"], "class maps", unit="image", disable=not progress, mininterval=_BAR_INTERVAL)
    for image in images:
        values = draw_class_map(objects[image["id"]], (image["height"], image["width"]))
        data = io.BytesIO()
        Image.fromarray(values).save(data, "PNG")
        with atomic_open(Path(folder) / _map_name(image["file_name"])) as file:
            file.write(data.getvalue())
    crowds = sum(entry["iscrowd"] for entry in content["annotations"])
    return ClassMapReport(len(content["images"]), len(content["annotations"]) - crowds, crowds)


def _check(annotations: AnnotationSet) -> None:
    content, source = annotations.content, annotations.source
    if len(content["categories"]) > MAX_CLASSES:
        raise ValueError(
            f"{source} has {len(content['categories'])} classes, and a class map has at most {MAX_CLASSES}: merge or "
            "remove classes"
        )
    bare = [entry for entry in content["annotations"] if not entry["iscrowd"] and "segmentation" not in entry]
    if bare:
        name = annotations.ids.annotations[bare[0]["id"]]
        raise ValueError(
            f"{source}: {len(bare)} of {len(content['annotations'])} objects have no mask, such as annotation {name}: "
            "class maps of the ground truth need one for each object"
        )
    names: dict[str, str] = {}
    for image in content["images"]:
        other = names.setdefault(_map_name(image["file_name"]), image["file_name"])
        if other != image["file_name"]:
            raise ValueError(
                f"{source}: the images {other} and {image['file_name']} would have the same class map "
                f"{_map_name(other)}: rename one of them"
            )


def _map_name(file_name: str) -> str:
    return str(PurePosixPath(file_name).with_suffix(".png"))
