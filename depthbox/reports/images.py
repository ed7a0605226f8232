"""Best and worst images of an evaluation, drawn from the saved predictions and the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray
from PIL import Image

from ..evaluation.image_quality import (
    MATCH,
    CocoRecord,
    EvaluatedDataset,
    ImageDetections,
    ImageMatch,
    best_threshold,
    read_candidates,
)
from ..io.coco_masks import segmentation_to_rle
from ..io.images import ImageError, read_image
from ..visualization.draw import DrawnObjects, draw_objects, instance_color, resize_image, resize_objects
from .page import ImageCard

_WIDTH = 420  # long side of a drawn image in pixels
_GROUND_TRUTH = (255, 255, 255)


@dataclass(frozen=True)
class BestAndWorst:
    """Images with the highest and the lowest quality of an evaluation.

    Attributes:
        best: images, best first.
        worst: images, worst first.
        note: explanation of the choice.
        threshold: score threshold of the drawn detections.
    """

    best: Sequence[ImageCard] = ()
    worst: Sequence[ImageCard] = ()
    note: str = ""
    threshold: float = 0.0


def draw_best_and_worst(predictions: Sequence[CocoRecord], dataset: EvaluatedDataset, count: int = 6) -> BestAndWorst:
    """Draw the images of highest and lowest quality.

    Args:
        predictions: detections in COCO's result format.
        dataset: ground truth of the same dataset.
        count: maximum number of images of each kind.

    Returns:
        The drawn images; empty if no image has an object.
    """
    candidates = read_candidates(predictions, dataset)
    if not candidates:
        return BestAndWorst()
    threshold = best_threshold(candidates)
    matches = [candidate.match(threshold) for candidate in candidates]
    ranked = sorted(zip(candidates, matches, strict=True), key=lambda pair: pair[1].quality)
    half = min(count, (len(ranked) + 1) // 2)
    kind = "masks" if candidates[0].masks else "boxes"
    note = (
        f"Quality of an image: sum of the IoUs of the found {kind} (right class, IoU of at least {MATCH:g}), divided "
        f"by the mean of the number of objects and of detections. {len(ranked)} images with objects were compared. "
        f"Shown are detections with a score of at least {threshold:.2f}, the threshold of the highest F1 score. White: "
        "ground-truth boxes; color: predictions."
    )
    worst = ranked[:half]
    best = ranked[::-1][: min(half, len(ranked) // 2)]
    cards = [[_draw_card(*pair, dataset, threshold) for pair in pairs] for pairs in (best, worst)]
    return BestAndWorst(cards[0], cards[1], note, threshold)


def _draw_card(candidate: ImageDetections, match: ImageMatch, dataset: EvaluatedDataset, threshold: float) -> ImageCard:
    """Draw the ground-truth boxes and predictions of an image, on gray if the image cannot be read."""
    record = dataset.images[candidate.image]
    size = (record["height"], record["width"])
    scale = min(1.0, _WIDTH / max(size))
    shown = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    detections = [detection for detection in candidate.detections if detection["score"] >= threshold]
    found = resize_objects(_to_objects(detections, match, dataset, size), size, shown)
    boxes = _to_corners(candidate.objects)
    truth = DrawnObjects(boxes, [""] * len(boxes), None, [_GROUND_TRUTH] * len(boxes))
    image = resize_image(_read_or_gray(dataset, record), shown)
    image = draw_objects(image, found, boxes=found.masks is None)
    image = draw_objects(image, resize_objects(truth, size, shown))
    hits = len(match.matched)
    detail = (
        f"quality {match.quality:.2f}, {hits} of {match.objects} objects found, "
        f"other detections: {len(detections) - hits}"
    )
    return ImageCard(Image.fromarray(image), str(record["file_name"]), detail)


def _read_or_gray(dataset: EvaluatedDataset, record: CocoRecord) -> NDArray[np.uint8]:
    try:
        return read_image(dataset.folder / record["file_name"])
    except ImageError:
        return np.full((record["height"], record["width"], 3), 128, dtype=np.uint8)


def _to_objects(
    detections: Sequence[CocoRecord], match: ImageMatch, dataset: EvaluatedDataset, size: tuple[int, int]
) -> DrawnObjects:
    labels = [f"{dataset.classes.get(row['category_id'], '?')} {row['score']:.2f}" for row in detections]
    masks = None
    if detections and all("segmentation" in row for row in detections):
        rles = [segmentation_to_rle(row["segmentation"], size) for row in detections]
        masks = np.stack([mask_util.decode(rle) for rle in rles]).astype(bool)
    colors = [instance_color(match.matched.get(number, match.objects + number)) for number in range(len(detections))]
    return DrawnObjects(_to_corners(detections), labels, masks, colors)


def _to_corners(records: Sequence[CocoRecord]) -> NDArray[np.float64]:
    boxes = np.array([record["bbox"] for record in records], dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
