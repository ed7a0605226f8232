"""Predicted masks of points as Detectron2's instances; a point without a pixel gets a square."""

from __future__ import annotations

from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.structures import Boxes, Instances
from numpy.typing import NDArray
from torch import Tensor

from .masks import PointMasks, fallback_box

FALLBACK_SIDE = 64.0  # pixels, of a class without any mask (released code: 32 pixels to each side)


def make_instances(
    masks: PointMasks, points: Tensor, classes: Tensor, boxes: Tensor | None, *, rle: bool, side: float = 0.0
) -> Instances:
    """Convert masks of points to instances, in the order of the points.

    Args:
        masks: owner of each pixel of the image, and scores.
        points: (N, 2) float, x and y in pixels of the image.
        classes: (N,) int64.
        boxes: (N, 4) xyxy in pixels, the annotated box of each object, NaN without one; None = no boxes. An object
            without a pixel gets its box.
        rle: encode the masks as ``pred_masks_rle`` (N COCO RLEs) instead of ``pred_masks`` (N, H, W) bool.
        side: side of the square of an object without a pixel or box; 0 = median side of the masks of its class in the
            image, sqrt(area), and 64 without any mask.

    Returns:
        Instances on the CPU with ``pred_boxes`` (extents of the masks), ``scores``, ``pred_classes``, ``fallback`` (N,)
        bool, True for a square or box in place of a mask, and the masks.
    """
    owner = masks.owner.cpu().numpy()
    size = (owner.shape[0], owner.shape[1])
    areas = masks.areas.cpu().numpy()
    sides = fallback_sides(areas, classes.cpu().numpy(), side)
    scores = masks.scores.detach().cpu().float()
    extents = np.zeros((len(areas), 4))
    found: list[Any] = []
    for index in range(len(areas)):
        if areas[index]:
            mask = owner == index + 1
        else:
            given = None if boxes is None else boxes[index].tolist()
            x, y = points[index].tolist()
            mask = _fill(given if given and given[0] == given[0] else fallback_box((x, y), sides[index], size), size)
        extents[index] = _extent(mask)
        found.append(_encode(mask) if rle else mask)
    result = Instances(size)
    result.pred_boxes = Boxes(torch.from_numpy(extents).float())
    result.scores, result.pred_classes = scores, classes.cpu()
    result.fallback = torch.from_numpy(areas == 0)
    if rle:
        result.pred_masks_rle = found
    else:
        result.pred_masks = torch.from_numpy(np.array(found, dtype=bool).reshape(-1, *size))
    return result


def fallback_sides(areas: NDArray[np.int64], classes: NDArray[np.int64], side: float = 0.0) -> list[float]:
    """Return the side of the square of each object, in pixels.

    Args:
        areas: (N,) number of pixels of each mask; 0 = none.
        classes: (N,) class of each mask.
        side: side of all squares; 0 = median of sqrt(area) over the masks of the class, 64 for a class without masks.
    """
    if side > 0:
        return [float(side)] * len(areas)
    sides = {}
    for c in set(classes.tolist()):
        found = areas[(classes == c) & (areas > 0)]
        sides[c] = float(np.median(np.sqrt(found))) if len(found) else FALLBACK_SIDE
    return [sides[c] for c in classes.tolist()]


def _fill(box: tuple[float, ...] | list[float], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of the pixels that a box covers, one at least if the box lies in the image."""
    mask = np.zeros(size, dtype=bool)
    x0, y0 = (max(int(np.floor(value)), 0) for value in box[:2])
    x1, y1 = (int(np.ceil(value)) for value in box[2:])
    mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    return mask


def _extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _encode(mask: NDArray[np.bool_]) -> dict[str, object]:
    encoded = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}
