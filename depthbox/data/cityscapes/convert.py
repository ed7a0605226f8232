"""Conversion of Cityscapes, in its official folders, to a COCO JSON file."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...io.files import atomic_open
from ...io.write_errors import require_writable
from ..coco_content import build_coco_content
from ..process_pool import map_in_processes
from .frames import CityscapesFrame, find_frames
from .instances import CLASSES, find_regions, read_id_map

# The official evaluation ignores objects with fewer visible pixels.
OFFICIAL_MIN_AREA = 100

CATEGORIES = [
    {"id": number, "name": name, "supercategory": "human" if label < 26 else "vehicle", "cityscapes_id": label}
    for number, (label, name) in enumerate(CLASSES.items(), 1)
]
_CATEGORY_IDS = {label: number for number, label in enumerate(CLASSES, 1)}

# Seconds between two updates of the progress bar: often in a terminal, rarely in a log file.
_BAR_INTERVAL = 0.1 if sys.stderr.isatty() else 15.0

Record = dict[str, Any]


@dataclass(frozen=True)
class FrameRecord:
    """Image and annotations of one frame without ids, and counts for the report.

    Attributes:
        image: file_name, height, width.
        annotations: objects and groups of the eight classes.
        small: number of objects that are marked as too small.
        dropped: number of objects and groups of classes that are not evaluated (caravan, trailer).
        from_polygons: whether the ids were painted from polygons.
        consistent: whether instanceIds (or polygons) and labelIds have the same classes.
    """

    image: Record
    annotations: list[Record]
    small: int
    dropped: int
    from_polygons: bool
    consistent: bool


@dataclass(frozen=True)
class ConversionReport:
    """Counts of a conversion; ``str()`` formats them as a table.

    Attributes:
        images: number of images.
        without_objects: number of images without an object other than ``iscrowd``.
        from_polygons: number of images without instanceIds, painted from polygons.
        objects: class name -> number of objects other than ``iscrowd``.
        groups: number of groups of objects, marked ``iscrowd``.
        small: number of objects that are too small, marked ``iscrowd``.
        dropped: number of objects and groups of classes that are not evaluated.
        inconsistent: images whose labelIds have other classes than the objects.
    """

    images: int
    without_objects: int
    from_polygons: int
    objects: dict[str, int]
    groups: int
    small: int
    dropped: int
    inconsistent: tuple[str, ...]

    def __str__(self) -> str:
        rows = [
            ("images", self.images),
            ("  without objects", self.without_objects),
            ("  painted from polygons", self.from_polygons),
            ("objects", sum(self.objects.values())),
            *((f"  {name}", count) for name, count in self.objects.items()),
            ("groups (iscrowd)", self.groups),
            ("small objects (iscrowd)", self.small),
            ("dropped (caravan, trailer)", self.dropped),
        ]
        lines = [f"{name:<28}{count:>8}" for name, count in rows]
        if self.inconsistent:
            lines.append(
                f"warning: labelIds.png of {len(self.inconsistent)} images, such as {self.inconsistent[0]}, has other "
                "classes than the objects, which are kept unchanged. Use files of the same release"
            )
        return "\n".join(lines)


def convert(
    root: str | os.PathLike[str],
    split: str,
    output: str | os.PathLike[str],
    boxes_only: bool = False,
    min_area: int | None = None,
    workers: int = 1,
    progress: bool = False,
) -> ConversionReport:
    """Write a split of Cityscapes as one COCO JSON file.

    ``file_name`` is relative to ROOT/leftImg8bit, the image folder to register. Images are numbered from 1 in the
    order of their names and objects in the order of Cityscapes' ids, for any number of workers. Boxes are
    those of the visible pixels. Groups and small objects have ``iscrowd`` 1: training leaves them out, and the
    evaluation ignores predictions on them.

    Args:
        root: folder of ``leftImg8bit`` and ``gtFine``.
        split: "train" or "val".
        output: JSON file to write.
        boxes_only: write no ``segmentation``, and as ``area`` that of the box, so that the file has no information of
            the masks.
        min_area: an object with fewer visible pixels is marked as too small; None = the official 100 for val,
            and 0 for train, which uses every object.
        workers: number of processes; 0 and 1 use this process.
        progress: show a progress bar.

    Raises:
        ValueError: an argument is out of range, or a file is damaged or does not fit its image.
        FileNotFoundError: files are missing.
        WriteError: the JSON file cannot be written.
    """
    output = Path(output)
    if workers < 0 or (min_area is not None and min_area < 0):
        raise ValueError(f"workers and min_area must be >= 0, got {workers} and {min_area}")
    if output.is_dir():
        raise ValueError(f"{output} is a folder; name the JSON file to write")
    require_writable(output)
    frames = find_frames(root, split)
    if min_area is None:
        min_area = OFFICIAL_MIN_AREA if split == "val" else 0
    work = partial(convert_frame, boxes_only=boxes_only, min_area=min_area)
    with map_in_processes(work, frames, workers) as done:
        bar = tqdm(done, split, len(frames), unit="image", disable=not progress, mininterval=_BAR_INTERVAL)
        records = list(bar)
    info = {"description": "Cityscapes, fine annotations", "split": split, "min_area": min_area}
    with atomic_open(output, tidy=True) as file:
        file.write(_format_coco(info, records))
    return _count(records)


def convert_frame(frame: CityscapesFrame, boxes_only: bool, min_area: int) -> FrameRecord:
    """Convert one frame; arguments and errors as in ``convert``."""
    id_map, consistent = read_id_map(frame)
    height, width = id_map.shape
    annotations: list[Record] = []
    small = dropped = 0
    for region in find_regions(id_map, masks=not boxes_only):
        if region.label not in _CATEGORY_IDS:
            dropped += 1
            continue
        too_small = not region.is_group and region.area < min_area
        small += too_small
        annotation: Record = {
            "category_id": _CATEGORY_IDS[region.label],
            "instance_id": region.instance_id,
            "bbox": list(region.box),
            "area": region.box[2] * region.box[3] if boxes_only else region.area,
            "iscrowd": int(region.is_group or too_small),
        }
        annotations.append(annotation if boxes_only else annotation | {"segmentation": region.rle})
    image = {"file_name": frame.name, "height": height, "width": width}
    return FrameRecord(image, annotations, small, dropped, frame.instance_ids is None, consistent)


def _format_coco(info: Record, records: Sequence[FrameRecord]) -> bytes:
    images, objects = (record.image for record in records), (record.annotations for record in records)
    return json.dumps(build_coco_content(info, images, objects, CATEGORIES)).encode()


def _count(records: Sequence[FrameRecord]) -> ConversionReport:
    annotations = list(itertools.chain.from_iterable(record.annotations for record in records))
    counts = Counter(entry["category_id"] for entry in annotations if not entry["iscrowd"])
    small = sum(record.small for record in records)
    return ConversionReport(
        images=len(records),
        without_objects=sum(all(entry["iscrowd"] for entry in record.annotations) for record in records),
        from_polygons=sum(record.from_polygons for record in records),
        objects={name: counts[number] for number, name in enumerate(CLASSES.values(), 1)},
        groups=sum(entry["iscrowd"] for entry in annotations) - small,
        small=small,
        dropped=sum(record.dropped for record in records),
        inconsistent=tuple(record.image["file_name"] for record in records if not record.consistent),
    )
