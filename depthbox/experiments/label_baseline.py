"""Baseline of ``depthbox label``: masks of the detector's own objects, matched to the box prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from detectron2.structures import Boxes, Instances, pairwise_iou
from numpy.typing import NDArray

from ..io.coco_masks import pixels_inside
from ..io.images import RGBImage
from ..labeling.box_labeler import BoxMask
from ..labeling.prompts import Entry, Labeler, Prompts

MIN_IOU = 0.5


def match_labeler(predict: Callable[[Sequence[RGBImage]], list[Instances]]) -> Labeler:
    """Make a labeler that assigns detected objects to the box prompts, with the largest sum of IoUs.

    The mask is cropped to the box. A box without an object of an IoU of at least ``MIN_IOU`` is filled, with score 0.

    Args:
        predict: function from images to their Instances on the CPU, see ``inference.predictor.load_batch_predictor``.

    Returns:
        A labeler for ``labeling.job.label_dataset``, as ``labeling.loading.load_box_labeler`` returns.
    """

    def label(entry: Entry, image: RGBImage, prompts: Prompts) -> list[BoxMask]:
        boxes = prompts.boxes
        (found,) = predict([image])
        ious = pairwise_iou(Boxes(torch.as_tensor(boxes, dtype=torch.float32)), found.pred_boxes).numpy()
        chosen = match(ious)
        masks = [None if index is None else found.pred_masks[index].numpy() for index in chosen]
        scores = [0.0 if index is None else float(ious[box, index]) for box, index in enumerate(chosen)]
        size = (image.shape[0], image.shape[1])
        return [_crop(box, mask, score, size) for box, mask, score in zip(boxes, masks, scores, strict=True)]

    return label


def match(ious: NDArray[np.float32]) -> list[int | None]:
    """Assign to each box (first axis) at most one object (second axis), with the largest sum of IoUs.

    Args:
        ious: (boxes, objects) float32.

    Returns:
        The index of the object of each box; None if their IoU is below ``MIN_IOU``.
    """
    from scipy.optimize import linear_sum_assignment

    chosen: list[int | None] = [None] * ious.shape[0]
    for box, index in zip(*linear_sum_assignment(ious, maximize=True), strict=True):
        if ious[box, index] >= MIN_IOU:
            chosen[box] = int(index)
    return chosen


def _crop(box: NDArray[np.float64], mask: NDArray[np.bool_] | None, score: float, size: tuple[int, int]) -> BoxMask:
    """Crop a mask to the pixels whose centers lie in a box; without a mask the crop is filled."""
    rows, columns = pixels_inside(box.tolist())
    part = (np.ones(size, dtype=bool) if mask is None else mask)[rows, columns]
    return BoxMask(torch.from_numpy(np.ascontiguousarray(part)), columns.start, rows.start, score)
