"""Conversion of a split of PASCAL VOC 2012 to a COCO JSON file."""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...io.annotations.canonical import write_coco
from ...io.write_errors import require_writable
from ..coco_content import build_coco_content
from ..process_pool import map_in_processes
from .folder import CLASS_FOLDERS, VocImage, count_common, find_images, find_root
from .objects import CLASSES, read_objects

CATEGORIES = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
_BAR_INTERVAL = 0.1 if sys.stderr.isatty() else 15.0  # seconds between two updates of the progress bar
Record = dict[str, Any]


@dataclass(frozen=True)
class VocRecord:
    """Image and annotations of one image without ids.

    Attributes:
        image: file_name, height, width.
        annotations: the objects.
        mixed: number of objects with pixels of several classes.
        from_sbd: whether the objects are those of SBD.
    """

    image: Record
    annotations: list[Record]
    mixed: int
    from_sbd: bool


@dataclass(frozen=True)
class VocReport:
    """Counts of a conversion; ``str()`` formats them as a table.

    Attributes:
        images: number of images.
        without_objects: number of images without objects.
        from_sbd: number of images whose objects are those of SBD.
        objects: class name -> number of objects.
        mixed: number of objects with pixels of several classes, which got the class of most of their pixels.
        in_val: number of training images that are also in the list of val.
        image_root: folder of the images, to register with the JSON file.
        class_maps: folder with a map of classes for every image; None if there is none.
    """

    images: int
    without_objects: int
    from_sbd: int
    objects: dict[str, int]
    mixed: int
    in_val: int
    image_root: Path
    class_maps: Path | None

    def __str__(self) -> str:
        rows = [
            ("images", self.images),
            ("  without objects", self.without_objects),
            ("  with the objects of SBD", self.from_sbd),
            ("objects", sum(self.objects.values())),
            *((f"  {name}", count) for name, count in self.objects.items()),
            ("objects of mixed classes", self.mixed),
        ]
        lines = [f"{name:<28}{count:>8}" for name, count in rows]
        if self.class_maps is not None:
            lines.append(f"class maps of all images: {self.class_maps}")
        if self.in_val:
            lines.append(
                f"warning: {self.in_val} of these training images are in the list of val: remove them from the list, "
                "or results on val are those of training images"
            )
        return "\n".join(lines)


def convert_voc(
    root: str | os.PathLike[str],
    split: str,
    output: str | os.PathLike[str],
    *,
    sbd: str | os.PathLike[str] | None = None,
    boxes_only: bool = False,
    workers: int = 1,
    progress: bool = False,
) -> VocReport:
    """Write a split of VOC 2012 as one COCO JSON file.

    ``file_name`` is relative to ROOT/JPEGImages, the image folder to register. Images are numbered from 1 in the order
    of the list, and objects in the order of their values. The category ids are the class values 1 to 20 of VOC. Boxes
    are the extents of the masks. Void pixels (255), such as the border of each object, belong to no object.

    Args:
        root: folder of JPEGImages, ImageSets/Segmentation, SegmentationObject and SegmentationClass.
        split: "train", "val", "trainval", or "train_aug": the list train_aug.txt of VOC and SBD.
        output: JSON file to write.
        sbd: folder with inst/*.mat of SBD, for the images without a PNG of objects.
        boxes_only: write no ``segmentation``, and as ``area`` that of the box.
        workers: number of processes; 0 and 1 use this process.
        progress: show a progress bar.

    Raises:
        ValueError: an argument is out of range, or a file is damaged or does not fit its image.
        FileNotFoundError: files are missing.
        WriteError: the JSON file cannot be written.
    """
    output = Path(output)
    if workers < 0:
        raise ValueError(f"workers must be >= 0, got {workers}")
    if output.is_dir():
        raise ValueError(f"{output} is a folder; name the JSON file to write")
    require_writable(output)
    folder = find_root(root)
    images = find_images(folder, split, sbd)
    with map_in_processes(partial(convert_image, boxes_only=boxes_only), images, workers) as done:
        bar = tqdm(done, split, len(images), unit="image", disable=not progress, mininterval=_BAR_INTERVAL)
        records = list(bar)
    info = {"description": "PASCAL VOC 2012, instance segmentation", "split": split}
    objects = (record.annotations for record in records)
    write_coco(build_coco_content(info, (record.image for record in records), objects, CATEGORIES), output)
    in_val = count_common(folder, [image.name for image in images], "val") if split in ("train", "train_aug") else 0
    return _count(records, in_val, folder, [image.name for image in images])


def convert_image(image: VocImage, boxes_only: bool) -> VocRecord:
    """Convert one image; arguments and errors as in ``convert_voc``."""
    (height, width), objects = read_objects(image, masks=not boxes_only)
    annotations = []
    for entry in objects:
        annotation: Record = {
            "category_id": entry.label,
            "bbox": list(entry.box),
            "area": entry.box[2] * entry.box[3] if boxes_only else entry.area,
            "iscrowd": 0,
        }
        annotations.append(annotation if boxes_only else annotation | {"segmentation": entry.rle})
    record = {"file_name": image.image.name, "height": height, "width": width}
    return VocRecord(record, annotations, sum(entry.mixed for entry in objects), image.objects is None)


def _count(records: Sequence[VocRecord], in_val: int, folder: Path, names: Sequence[str]) -> VocReport:
    entries = itertools.chain.from_iterable(record.annotations for record in records)
    counts = Counter(entry["category_id"] for entry in entries)
    complete = (
        folder / maps for maps in CLASS_FOLDERS if all((folder / maps / f"{name}.png").is_file() for name in names)
    )
    return VocReport(
        images=len(records),
        without_objects=sum(not record.annotations for record in records),
        from_sbd=sum(record.from_sbd for record in records),
        objects={name: counts[number] for number, name in enumerate(CLASSES, 1)},
        mixed=sum(record.mixed for record in records),
        in_val=in_val,
        image_root=folder / "JPEGImages",
        class_maps=next(complete, None),
    )
