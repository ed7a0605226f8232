"""The best and worst images of an evaluation, from the saved predictions and the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import detection_utils
from numpy.typing import NDArray
from PIL import Image

from ..evaluation.image_quality import MATCH, Candidate, Row, Truth, best_threshold, read_candidates
from ..io.coco_masks import segmentation_to_rle
from ..visualization.draw import Objects, draw_objects, instance_color, resize_image, resize_objects
from .page import Shown

_WIDTH = 420  # pixels of a picture's long side
_TRUTH = (255, 255, 255)


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
    candidates = read_candidates(predictions, truth)
    if not candidates:
        return [], [], "", 0.0
    threshold = best_threshold(candidates)
    ranked = sorted(candidates, key=lambda candidate: candidate.quality(threshold))
    half = min(count, (len(ranked) + 1) // 2)
    kind = "masks" if candidates[0].masks else "boxes"
    note = (
        f"Quality of an image: the IoUs of the {kind} that were found (right class, IoU of at least {MATCH:g}), added "
        f"up, over the mean of the number of objects and of detections; {len(ranked)} images with objects. Detections "
        f"from the score {threshold:.2f} on, where the most objects are found with the fewest false ones. White: "
        "true boxes; coloured: predictions."
    )
    best = [_shown(candidate, truth, threshold) for candidate in ranked[::-1][: min(half, len(ranked) // 2)]]
    return best, [_shown(candidate, truth, threshold) for candidate in ranked[:half]], note, threshold


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
        rles = [segmentation_to_rle(row["segmentation"], size) for row in rows]
        masks = np.stack([mask_util.decode(rle) for rle in rles]).astype(bool)
    colors = [
        instance_color(candidate.matched.get(number, len(candidate.objects) + number)) for number in range(len(rows))
    ]
    return Objects(_corners(rows), labels, masks, colors)


def _corners(rows: Sequence[Row]) -> NDArray[np.float64]:
    boxes = np.array([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
