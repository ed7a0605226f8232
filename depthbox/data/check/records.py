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

_NO_BOX = (np.nan,) * 4


@dataclass(frozen=True)
class ImageRecord:
    """An image of a canonical dataset; ``size`` is (height, width) as in the annotations."""

    number: int
    file_name: str
    size: tuple[int, int]


@dataclass(frozen=True)
class BoxTable:
    """The N objects of a canonical dataset with their boxes.

    Attributes:
        images: all images.
        boxes: (N, 4) float64: x, y, width, height in pixels; NaN for an object of points without a box.
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

    @property
    def sizes(self) -> NDArray[np.float64]:
        """The height and width (N, 2) of the image of each object."""
        return np.array([image.size for image in self.images], dtype=np.float64).reshape(-1, 2)[self.image]

    def image_of(self, index: int | np.integer) -> ImageRecord:
        """Return the image of an object."""
        return self.images[self.image[index]]

    def with_boxes(self) -> BoxTable:
        """Return the table of the objects that have a box."""
        kept = np.flatnonzero(~np.isnan(self.boxes).any(1))
        if len(kept) == len(self.boxes):
            return self
        ids = [self.ids[index] for index in kept]
        return BoxTable(self.images, self.boxes[kept], self.image[kept], self.category[kept], self.crowd[kept], ids)

    def example(self, index: int | np.integer, detail: str, point: NDArray[np.float64] | None = None) -> Example:
        """Return an example that shows one object with its box, and a point (x, y) of it."""
        x, y, width, height = self.boxes[index].tolist()
        box = None if np.isnan(x) else (x, y, width, height)
        points = () if point is None else ((float(point[0]), float(point[1])),)
        return Example(detail, self.image_of(index).file_name, self.ids[int(index)], box, points=points)


def make_table(annotations: AnnotationSet) -> BoxTable:
    """Return the objects of a canonical dataset as a table."""
    content = annotations.content
    images = tuple(
        ImageRecord(entry["id"], entry["file_name"], (entry["height"], entry["width"])) for entry in content["images"]
    )
    index = {image.number: place for place, image in enumerate(images)}
    objects = content["annotations"]
    numbers = np.array(
        [(index[entry["image_id"]], entry["category_id"] - 1, entry["iscrowd"]) for entry in objects], dtype=np.int64
    ).reshape(-1, 3)
    boxes = np.array([entry.get("bbox", _NO_BOX) for entry in objects], dtype=np.float64).reshape(-1, 4)
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
