"""What ``depthbox label`` has to beat: the detector's own objects, matched to the given boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from detectron2.structures import Boxes, Instances, pairwise_iou
from numpy.typing import NDArray

from ..io.coco_masks import pixels_inside
from ..io.images import RGBImage
from ..labeling.box_labeler import BoxMask
from ..labeling.job import Entry, Labeler, Prompts

LEAST_IOU = 0.5


def match_labeler(predict: Callable[[Sequence[RGBImage]], list[Instances]]) -> Labeler:
    """Masks of given boxes by detection: one object for each box, so that the sum of their IoUs is largest.

    The mask is cut to the box; a box without an object of an IoU of ``LEAST_IOU`` is filled, with score 0.

    Args:
        predict: from pictures to their Instances on the CPU, see ``predictor.load_batch_predictor``.

    Returns:
        A function as ``labeling.loading.load_box_labeler`` gives, for ``labeling.job.label_dataset``.
    """

    def label(entry: Entry, picture: RGBImage, prompts: Prompts) -> list[BoxMask]:
        boxes = prompts.boxes
        (found,) = predict([picture])
        ious = pairwise_iou(Boxes(torch.as_tensor(boxes, dtype=torch.float32)), found.pred_boxes).numpy()
        chosen = match(ious)
        masks = [None if place is None else found.pred_masks[place].numpy() for place in chosen]
        scores = [0.0 if place is None else float(ious[row, place]) for row, place in enumerate(chosen)]
        size = (picture.shape[0], picture.shape[1])
        return [_cut(box, mask, score, size) for box, mask, score in zip(boxes, masks, scores, strict=True)]

    return label


def match(ious: NDArray[np.float32]) -> list[int | None]:
    """The column of each row, each column once at most, that makes the sum largest; None below ``LEAST_IOU``."""
    from scipy.optimize import linear_sum_assignment

    chosen: list[int | None] = [None] * ious.shape[0]
    for row, column in zip(*linear_sum_assignment(ious, maximize=True), strict=True):
        if ious[row, column] >= LEAST_IOU:
            chosen[row] = int(column)
    return chosen


def _cut(box: NDArray[np.float64], mask: NDArray[np.bool_] | None, score: float, size: tuple[int, int]) -> BoxMask:
    """The part of a mask whose pixel centres lie in a box; all of them without a mask."""
    rows, columns = pixels_inside(box.tolist())
    part = (np.ones(size, dtype=bool) if mask is None else mask)[rows, columns]
    return BoxMask(torch.from_numpy(np.ascontiguousarray(part)), columns.start, rows.start, score)
