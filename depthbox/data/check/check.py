"""What is wrong with a data set of boxes, found before a training is started on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .annotations import check_annotations
from .boxes import check_boxes
from .files import check_depth_files, check_image_files
from .findings import Finding, Findings, number_of
from .images import choose_evenly, read_files
from .json import read_coco
from .records import BoxTable, Id, check_categories, check_classes, check_images

# Boxes of an image that are kept for its picture.
_SHOWN_BOXES = 300

Box = tuple[float, float, float, float]


class CheckError(ValueError):
    """The check itself cannot run: a file or folder to look at is not there."""


@dataclass(frozen=True)
class CheckSettings:
    """What to check.

    Attributes:
        json_file: COCO json.
        images: folder of the images.
        depth: folder of the depth maps; None = the data set has none.
        min_size, max_size: short side and longest side in pixels of the network's input.
        max_images: how many images (with their depth) are read, evenly spread; None = all. All else is always
            checked in full.
        workers: threads that read.
        progress: whether to show a progress bar.
    """

    json_file: Path
    images: Path
    depth: Path | None = None
    min_size: int = 800
    max_size: int = 1333
    max_images: int | None = None
    workers: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    progress: bool = True


@dataclass(frozen=True)
class CheckReport:
    """What a check has found.

    Attributes:
        settings: what was checked.
        counts: numbers of ``images``, ``annotations``, ``boxes`` (usable ones), ``classes``, ``images read``,
            ``depth maps``.
        objects: number of objects by class, crowds left out, in the order of the classes' ids.
        findings: gravest first.
        boxes: for the images of the worst examples, by image id: the boxes, (x, y, width, height).
    """

    settings: CheckSettings
    counts: Mapping[str, int]
    objects: Mapping[str, int]
    findings: tuple[Finding, ...]
    boxes: Mapping[Id, tuple[Box, ...]]

    @property
    def errors(self) -> int:
        """How many kinds of errors were found; 0 means that training can start."""
        return number_of(self.findings, "error")

    @property
    def warnings(self) -> int:
        """How many kinds of warnings were found."""
        return number_of(self.findings, "warning")


def check_dataset(settings: CheckSettings) -> CheckReport:
    """Check a COCO json of boxes, its images, and its depth maps where there are any; nothing is changed.

    Raises:
        CheckError: the json or a folder is not there, or a number in the settings is not positive.
    """
    _require(settings)
    findings = Findings()
    try:
        content = read_coco(settings.json_file, findings)
    except OSError as error:
        raise CheckError(f"{settings.json_file} cannot be read: {error.strerror}") from error
    if content is None:
        return CheckReport(settings, {}, {}, findings.list(), {})
    images = check_images(content["images"], findings)
    categories = check_categories(content["categories"], findings)
    annotations = content["annotations"]
    table = check_annotations(annotations, images, categories, findings)
    counts = {"images": len(images), "annotations": len(annotations), "boxes": len(table.boxes)}
    del content, annotations  # the table is all that is needed; on COCO this frees most of the memory
    check_boxes(table, findings, settings.min_size, settings.max_size)
    objects = (
        check_classes(table, categories, findings) if counts["annotations"] else dict.fromkeys(categories.values(), 0)
    )

    present = check_image_files(images, settings.images, findings)
    depth = check_depth_files(images, settings.depth, findings) if settings.depth else {}
    chosen = choose_evenly(present, settings.max_images)
    read_files(
        chosen, settings.images, depth, settings.depth, findings, workers=settings.workers, progress=settings.progress
    )
    counts |= {"classes": len(categories), "images read": len(chosen), "depth maps": len(depth)}
    found = findings.list()
    return CheckReport(settings, counts, objects, found, _boxes_of_worst(table, found))


def _require(settings: CheckSettings) -> None:
    if not settings.json_file.is_file():
        raise CheckError(f"there is no json file {settings.json_file}; correct --json")
    for option, folder in (("--images", settings.images), ("--depth", settings.depth)):
        if folder is not None and not folder.is_dir():
            raise CheckError(f"there is no folder {folder}; correct {option}")
    for name in ("min_size", "max_size", "max_images", "workers"):
        number = getattr(settings, name)
        if number is not None and number < 1:
            raise CheckError(f"{name} is {number}, it must be at least 1")


def _boxes_of_worst(table: BoxTable, findings: tuple[Finding, ...]) -> dict[Id, tuple[Box, ...]]:
    wanted = {example.image_id for finding in findings for example in finding.worst}
    boxes: dict[Id, tuple[Box, ...]] = {}
    places = {place: image.id for place, image in enumerate(table.images) if image.id in wanted}
    for row in np.flatnonzero(np.isin(table.image, list(places))):
        image = places[int(table.image[row])]
        if len(boxes.get(image, ())) < _SHOWN_BOXES:
            x, y, width, height = table.boxes[row].tolist()
            boxes[image] = (*boxes.get(image, ()), (x, y, width, height))
    return boxes
