"""The best and worst images of an evaluation, from the saved predictions and the truth."""

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
from detectron2.data import MetadataCatalog, detection_utils
from numpy.typing import NDArray
from PIL import Image

from ..visualization.draw import Objects, draw_objects, instance_color, resize_image, resize_objects
from ..visualization.report_page import Shown

Row = Mapping[str, Any]

MATCH = 0.5  # least IoU of a detection with the object that it finds
MOST_IMAGES = 2000  # that are looked at, evenly spread
_WIDTH = 420  # pixels of a picture's long side
_TRUTH = (255, 255, 255)


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
    """

    image: int
    rows: list[Row]
    overlaps: NDArray[np.float64]
    objects: list[Row]
    ignored: NDArray[np.bool_]
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


def best_and_worst(
    predictions: Sequence[Row], truth: Truth, count: int = 6
) -> tuple[list[Shown], list[Shown], str, float]:
    """The images that the network does best and worst on.

    Args:
        predictions: detections in COCO's result format.
        truth: of the same data set.
        count: of each kind.

    Returns:
        Pictures of the best, best first; of the worst, worst first; how they were chosen; the score threshold.
    """
    masks = truth.masks and any("segmentation" in row for row in predictions)
    by_image: dict[int, list[Row]] = defaultdict(list)
    for row in predictions:
        by_image[row["image_id"]].append(row)
    chosen = [number for number in truth.images if any(not o.get("iscrowd", 0) for o in truth.objects.get(number, ()))]
    chosen = chosen[:: max(1, -(-len(chosen) // MOST_IMAGES))]
    candidates = [_candidate(number, by_image.get(number, []), truth, masks) for number in chosen]
    if not candidates:
        return [], [], "", 0.0
    threshold = best_threshold(candidates)
    ranked = sorted(candidates, key=lambda candidate: candidate.quality(threshold))
    half = min(count, (len(ranked) + 1) // 2)
    kind = "masks" if masks else "boxes"
    note = (
        f"Quality of an image: the IoUs of the {kind} that were found (right class, IoU of at least {MATCH:g}), added "
        f"up, over the mean of the number of objects and of detections; {len(ranked)} images with objects. Detections "
        f"from the score {threshold:.2f} on, where the most objects are found with the fewest false ones. White: "
        "true boxes; coloured: predictions."
    )
    best = [_shown(candidate, truth, threshold) for candidate in ranked[::-1][: min(half, len(ranked) // 2)]]
    return best, [_shown(candidate, truth, threshold) for candidate in ranked[:half]], note, threshold


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
    return Candidate(number, list(rows), overlaps, objects, np.asarray((inside >= MATCH).any(1)))


def _overlaps(first: list[Any], second: list[Any], crowd: bool) -> NDArray[np.float64]:
    if not first or not second:
        return np.zeros((len(first), len(second)))
    return np.array(mask_util.iou(first, second, [int(crowd)] * len(second)), dtype=np.float64)


def _shape(row: Row, size: tuple[int, int], masks: bool) -> Any:
    """Box or RLE, as pycocotools compares them."""
    return _rle(row["segmentation"], size) if masks else [float(value) for value in row["bbox"]]


def _rle(segmentation: Any, size: tuple[int, int]) -> Any:
    if isinstance(segmentation, list):
        return mask_util.merge(mask_util.frPyObjects(segmentation, *size))
    if isinstance(segmentation["counts"], list):
        return mask_util.frPyObjects(segmentation, *segmentation["size"])
    return segmentation


def _shown(candidate: Candidate, truth: Truth, threshold: float) -> Shown:
    """The picture of an image with true boxes and predictions; a grey one where the image is gone."""
    quality = candidate.quality(threshold)
    image = truth.images[candidate.image]
    size = (image["height"], image["width"])
    rows = [row for row in candidate.rows if row["score"] >= threshold]
    scale = min(1.0, _WIDTH / max(size))
    shown = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    path = truth.folder / image["file_name"]
    try:
        pixels = np.ascontiguousarray(detection_utils.read_image(str(path), format="RGB"))
    except Exception:  # decoders of broken files raise nearly anything
        pixels = np.full((*size, 3), 128, dtype=np.uint8)
    picture = resize_image(pixels, shown)
    found = resize_objects(_predicted(rows, candidate, truth, size), size, shown)
    picture = draw_objects(picture, found, boxes=found.masks is None)
    boxes = _corners(candidate.objects)
    given = Objects(boxes, [""] * len(boxes), None, [_TRUTH] * len(boxes))
    picture = draw_objects(picture, resize_objects(given, size, shown))
    hits = len(candidate.matched)
    detail = (
        f"quality {quality:.2f}, {hits} of {len(candidate.objects)} objects found, other detections: {len(rows) - hits}"
    )
    return Shown(Image.fromarray(picture), str(image["file_name"]), detail)


def _predicted(rows: Sequence[Row], candidate: Candidate, truth: Truth, size: tuple[int, int]) -> Objects:
    labels = [f"{truth.classes.get(row['category_id'], '?')} {row['score']:.2f}" for row in rows]
    masks = None
    if rows and all("segmentation" in row for row in rows):
        masks = np.stack([mask_util.decode(_rle(row["segmentation"], size)) for row in rows]).astype(bool)
    colors = [
        instance_color(candidate.matched.get(number, len(candidate.objects) + number)) for number in range(len(rows))
    ]
    return Objects(_corners(rows), labels, masks, colors)


def _corners(rows: Sequence[Row]) -> NDArray[np.float64]:
    boxes = np.array([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _find(name: str, near: Path) -> Path:
    path = Path(os.path.expanduser(os.path.expandvars(name)))
    places = [path, *(parent / path for parent in near.resolve().parents)]
    return next((place for place in places if place.exists()), path)
