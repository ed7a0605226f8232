"""How well the detections of an evaluation fit the truth, image by image."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import MetadataCatalog
from numpy.typing import NDArray

from ..io.coco_masks import segmentation_to_rle

Row = Mapping[str, Any]

MATCH = 0.5  # least IoU of a detection with the object that it finds
MOST_IMAGES = 2000  # that are looked at, evenly spread


@dataclass(frozen=True)
class Truth:
    """A data set of an evaluation.

    Attributes:
        images: id -> COCO's record.
        objects: image id -> annotations.
        classes: category id -> name.
        folder: of the images.
        masks: whether objects have outlines.
    """

    images: Mapping[int, Row]
    objects: Mapping[int, list[Row]]
    classes: Mapping[int, str]
    folder: Path
    masks: bool


@dataclass
class Candidate:
    """An image's detections above the least score, best first, and which object each would find.

    Attributes:
        image: its id.
        rows: the detections.
        overlaps: (detections, objects) IoU, 0 where the classes differ.
        objects: the annotations but crowds.
        ignored: (detections,) whether each lies in a crowd.
        masks: whether masks were compared, not boxes.
    """

    image: int
    rows: list[Row]
    overlaps: NDArray[np.float64]
    objects: list[Row]
    ignored: NDArray[np.bool_]
    masks: bool
    matched: dict[int, int] = field(default_factory=dict)

    def match(self, threshold: float) -> tuple[float, int, int]:
        """Sum of IoUs of the objects found, their number, and that of false detections, from a score on."""
        self.matched, taken, total, false = {}, set(), 0.0, 0
        for number, row in enumerate(self.rows):
            if row["score"] < threshold:
                break
            free = [(iou, o) for o, iou in enumerate(self.overlaps[number]) if o not in taken and iou >= MATCH]
            if free:
                iou, chosen = max(free)
                taken.add(chosen)
                self.matched[number] = chosen
                total += iou
            elif not self.ignored[number]:
                false += 1
        return total, len(taken), false

    def quality(self, threshold: float) -> float:
        """Sum of IoUs over the mean number of objects and detections (panoptic quality), in [0, 1]."""
        total, found, false = self.match(threshold)
        size = found + (false + len(self.objects) - found) / 2
        return total / size if size else 0.0


def load_truth(name: str, coco_style: Sequence[Sequence[str]], near: Path) -> Truth:
    """The truth of a data set of a config.

    Args:
        name: of the data set.
        coco_style: DATASETS.COCO_STYLE of the config; else Detectron2's catalog knows the data set.
        near: folder of the run; relative paths are looked for in the working folder, then upwards from here.

    Raises:
        OSError, ValueError, KeyError: it cannot be found or read.
    """
    entry = next((entry for entry in coco_style if entry[0] == name), None)
    if entry is not None:
        json_file, folder = entry[1], entry[2]
    else:
        metadata = MetadataCatalog.get(name)
        json_file, folder = metadata.json_file, metadata.image_root
    data = json.loads(_find(json_file, near).read_text(encoding="utf-8"))
    objects: dict[int, list[Row]] = defaultdict(list)
    for annotation in data["annotations"]:
        objects[annotation["image_id"]].append(annotation)
    return Truth(
        images={image["id"]: image for image in data["images"]},
        objects=objects,
        classes={category["id"]: category["name"] for category in data["categories"]},
        folder=_find(folder, near),
        masks=any(a.get("segmentation") and not a.get("iscrowd", 0) for a in data["annotations"]),
    )


def read_candidates(predictions: Sequence[Row], truth: Truth) -> list[Candidate]:
    """What was detected in the images that have objects, in the data set's order, of at most ``MOST_IMAGES`` images.

    Args:
        predictions: detections in COCO's result format.
        truth: of the same data set.
    """
    masks = truth.masks and any("segmentation" in row for row in predictions)
    by_image: dict[int, list[Row]] = defaultdict(list)
    for row in predictions:
        by_image[row["image_id"]].append(row)
    chosen = [number for number in truth.images if any(not o.get("iscrowd", 0) for o in truth.objects.get(number, ()))]
    chosen = chosen[:: max(1, -(-len(chosen) // MOST_IMAGES))]
    return [_candidate(number, by_image.get(number, []), truth, masks) for number in chosen]


def best_threshold(candidates: Sequence[Candidate]) -> float:
    """The score from which on detections have the best F1 over all images, of 0.05, 0.1, ..."""

    def f1(threshold: float) -> float:
        _, found, false = np.sum([candidate.match(threshold) for candidate in candidates], axis=0)
        objects = sum(len(candidate.objects) for candidate in candidates)
        return 2 * found / max(objects + found + false, 1)

    return max((round(0.05 * step, 2) for step in range(1, 19)), key=f1)


def _candidate(number: int, rows: Sequence[Row], truth: Truth, masks: bool) -> Candidate:
    image = truth.images[number]
    size = (image["height"], image["width"])
    rows = sorted(rows, key=lambda row: -row["score"])[:100]
    given = truth.objects.get(number, [])
    if masks:
        given = [o for o in given if o.get("segmentation")]
    objects, crowds = ([o for o in given if bool(o.get("iscrowd", 0)) is crowd] for crowd in (False, True))
    shapes = [_shape(row, size, masks) for row in rows]
    overlaps = _overlaps(shapes, [_shape(o, size, masks) for o in objects], False)
    for place, row in enumerate(rows):
        overlaps[place, [o["category_id"] != row["category_id"] for o in objects]] = 0
    inside = _overlaps(shapes, [_shape(o, size, masks) for o in crowds], True)
    return Candidate(number, list(rows), overlaps, objects, np.asarray((inside >= MATCH).any(1)), masks)


def _overlaps(first: list[Any], second: list[Any], crowd: bool) -> NDArray[np.float64]:
    if not first or not second:
        return np.zeros((len(first), len(second)))
    return np.array(mask_util.iou(first, second, [int(crowd)] * len(second)), dtype=np.float64)


def _shape(row: Row, size: tuple[int, int], masks: bool) -> Any:
    """Box or RLE, as pycocotools compares them."""
    return segmentation_to_rle(row["segmentation"], size) if masks else [float(value) for value in row["bbox"]]


def _find(name: str, near: Path) -> Path:
    path = Path(os.path.expanduser(os.path.expandvars(name)))
    places = [path, *(parent / path for parent in near.resolve().parents)]
    return next((place for place in places if place.exists()), path)
