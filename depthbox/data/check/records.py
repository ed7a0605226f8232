"""Images and boxes of a canonical dataset as records of a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...io.annotations.records import AnnotationSet
from .findings import Example, Findings
from .rules import RARE


@dataclass(frozen=True)
class ImageRecord:
    """An image of a canonical dataset; ``size`` is (height, width) as in the annotations."""

    number: int
    file_name: str
    size: tuple[int, int]


@dataclass(frozen=True)
class BoxTable:
    """The N boxes of a canonical dataset.

    Attributes:
        images: all images.
        boxes: (N, 4) float64: x, y, width, height in pixels.
        image: (N,) int64, index in ``images``.
        category: (N,) int64, index in the list of categories.
        crowd: (N,) bool.
        ids: N annotation ids as in the user's file.
    """

    images: tuple[ImageRecord, ...]
    boxes: NDArray[np.float64]
    image: NDArray[np.int64]
    category: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    ids: list[Any]

    def example(self, index: int | np.integer, detail: str) -> Example:
        """Return an example that shows one box."""
        image = self.images[self.image[index]]
        x, y, width, height = self.boxes[index].tolist()
        return Example(detail, image.file_name, self.ids[int(index)], (x, y, width, height))


def make_table(annotations: AnnotationSet) -> BoxTable:
    """Return the boxes of a canonical dataset as a table."""
    content = annotations.content
    images = tuple(
        ImageRecord(entry["id"], entry["file_name"], (entry["height"], entry["width"])) for entry in content["images"]
    )
    index = {image.number: place for place, image in enumerate(images)}
    objects = content["annotations"]
    numbers = np.array(
        [(index[entry["image_id"]], entry["category_id"] - 1, entry["iscrowd"]) for entry in objects], dtype=np.int64
    ).reshape(-1, 3)
    boxes = np.array([entry["bbox"] for entry in objects], dtype=np.float64).reshape(-1, 4)
    ids = [annotations.ids.annotations.get(entry["id"]) for entry in objects]
    return BoxTable(images, boxes, numbers[:, 0], numbers[:, 1], numbers[:, 2].astype(bool), ids)


def check_objects(table: BoxTable, annotations: AnnotationSet, findings: Findings) -> Mapping[str, int]:
    """Check that there are objects: at all, of each class, and in each image.

    Returns:
        Number of objects by class without crowds, in the order of the classes.
    """
    names = [entry["name"] for entry in annotations.content["categories"]]
    counts = np.bincount(table.category[~table.crowd], minlength=len(names)).tolist()
    present = [image.number not in annotations.missing for image in table.images]
    on_disk = np.array(present, dtype=bool)[table.image] & ~table.crowd
    if not on_disk.any() and not findings.count("all_crowds"):
        detail = (
            f"{len(table.boxes)} usable annotations in {sum(present)} existing images, {int(table.crowd.sum())} crowds"
        )
        findings.add("nothing_to_learn", Example(detail))
    for name, count in zip(names, counts, strict=True):
        if count < RARE and sum(counts):  # without any object, another finding reports it
            what = f"{name}: {count} object{'s' * (count != 1)}" if count else name
            findings.add("class_rare" if count else "class_absent", Example(what), badness=-count)
    annotated = set(table.image.tolist())
    for place, image in enumerate(table.images):
        if place not in annotated and image.number not in annotations.missing:
            findings.add("image_empty", Example("", image.file_name))
    return dict(zip(names, counts, strict=True))
