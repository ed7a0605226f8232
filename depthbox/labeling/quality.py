"""How good the masks of boxes are: by the truth where the json holds it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from ..io.coco_json import BoxFile, Entry


@dataclass(frozen=True)
class MaskQuality:
    """Mean IoU with the true masks, in [0, 1].

    Attributes:
        masks: of the masks that the boxes were given, 0 where there is none.
        filled: of the filled boxes.
        count: boxes with a true mask.
        poor: share of the masks with an IoU below 0.5.
        agreement: Spearman's rank correlation of the quality scores with the IoUs; None where it is not defined.
    """

    masks: float
    filled: float
    count: int
    poor: float
    agreement: float | None

    def __str__(self) -> str:
        line = (
            f"mean IoU with {self.count} true masks: {100 * self.masks:.2f}, of filled boxes {100 * self.filled:.2f}; "
            f"{100 * self.poor:.1f} % of the masks below 50"
        )
        return line if self.agreement is None else f"{line}; the scores rank them with {self.agreement:.2f}"


def evaluate_labels(boxes: BoxFile, labels: Mapping[Any, Entry]) -> MaskQuality:
    """Compare the masks with those of the input json.

    Args:
        boxes: the input; annotations without ``segmentation`` are left out.
        labels: annotation id -> ``segmentation`` (RLE) and ``score``.

    Raises:
        ValueError: the json holds no masks.
    """
    own, filled, scores = [], [], []
    for image in boxes.images:
        for annotation in boxes.by_image[image["id"]]:
            label = labels.get(annotation["id"])
            size = label["segmentation"]["size"] if label else (image.get("height"), image.get("width"))
            if not annotation.get("segmentation") or None in size:
                continue
            truth = to_rle(annotation["segmentation"], size)
            own.append(_iou(label["segmentation"], truth) if label else 0.0)
            filled.append(_iou(filled_box(annotation["bbox"], size), truth))
            scores.append(label["score"] if label else 0.0)
    if not own:
        raise ValueError(f"{boxes.path} holds no masks (segmentation) to compare with: leave out --evaluate")
    return MaskQuality(
        float(np.mean(own)), float(np.mean(filled)), len(own), float(np.mean(np.array(own) < 0.5)), _rank(scores, own)
    )


def to_rle(segmentation: Any, size: Any) -> dict[str, Any]:
    """Polygons or an RLE, compressed or not, as a compressed RLE."""
    if isinstance(segmentation, list):
        return mask_util.merge(mask_util.frPyObjects(segmentation, *size))
    if isinstance(segmentation["counts"], list):
        return mask_util.frPyObjects(dict(segmentation), *segmentation["size"])
    return segmentation


def filled_box(box: list[float], size: Any) -> dict[str, Any]:
    """The pixels whose centres lie in a box [x, y, width, height], as an RLE."""
    mask = np.zeros(size, dtype=np.uint8, order="F")
    mask[pixels_inside([*box[:2], box[0] + box[2], box[1] + box[3]])] = 1
    return mask_util.encode(mask)


def pixels_inside(corners: Sequence[float]) -> tuple[slice, slice]:
    """Rows and columns of the pixels whose centres lie in a box xyxy; they may go on beyond the image."""
    left, top, right, bottom = (max(math.ceil(value - 0.5), 0) for value in corners)
    return slice(top, bottom), slice(left, right)


def _iou(mask: dict[str, Any], truth: dict[str, Any]) -> float:
    return float(mask_util.iou([mask], [truth], [0])[0, 0])


def _rank(scores: list[float], ious: list[float]) -> float | None:
    from scipy.stats import spearmanr

    if len(set(scores)) < 2 or len(set(ious)) < 2:
        return None
    return float(spearmanr(scores, ious)[0])
