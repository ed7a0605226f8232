"""Masks of the points of an image from propagated class probabilities and offsets (P2Seg; masks of the points)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .grouping import refine_owners
from .weak_masks import add_weak_masks

EMPTY_SCORE = 0.5  # score of an object without a pixel


@dataclass(frozen=True)
class PointMasks:
    """Masks of the points of an image; they do not overlap.

    Attributes:
        owner: (H, W) int64, number of the object (index + 1), 0 = none.
        scores: (N,) float32, mean probability of the object's class over its mask; 0.5 for an empty mask.
        areas: (N,) int64, pixels of each mask; 0 marks objects that need ``fallback_box``.
    """

    owner: Tensor
    scores: Tensor
    areas: Tensor


def point_masks(
    probabilities: Tensor,
    offsets: Tensor,
    points: Tensor,
    classes: Tensor,
    *,
    input_size: tuple[int, int],
    output_size: tuple[int, int],
    stride: int = 4,
    keep_near: bool = True,
    weak_share: float = 0.0,
    regions: Tensor | None = None,
) -> PointMasks:
    """Predict the mask of each point (P2Seg; masks of the points).

    Both maps are resized to the original size, the offsets times original size / input size per axis. Classes without
    a point are removed. The mask of point i is the set of pixels of its class whose nearest point of that class, after
    the offset, is i.

    Args:
        probabilities: (K + 1, h, w) float in [0, 1], background first, on a grid of ``stride`` input pixels per cell.
        offsets: (2, h, w) float, (dy, dx) in input pixels.
        points: (N, 2) float, (x, y) in pixels of the original image; NaN for none.
        classes: (N,) int64 in 0..K - 1.
        input_size: (height, width) of the resized image in input pixels, without padding.
        output_size: (height, width) of the original image.
        stride: input pixels per cell on each axis; the grid may extend beyond the image.
        keep_near: keep only the component that contains the point, and components that are nearer to it than their own
            diameter, that of a circle of equal area. Without a component at the point, its pixel replaces it.
        weak_share: above 0, objects without a pixel get a mask by ``add_weak_masks``; 0 as in the paper.
        regions: (N, 4) float xyxy in the original image, the box outside which no pixel belongs to the object.

    Returns:
        Owners (H, W) of the original image, scores (N,) and areas (N,).

    Raises:
        ValueError: the shapes do not match, or values are not finite.
    """
    if offsets.shape != (2, *probabilities.shape[1:]) or probabilities.dim() != 3:
        shapes = tuple(probabilities.shape), tuple(offsets.shape)
        raise ValueError("probabilities must be (K + 1, h, w), offsets (2, h, w); got {} and {}".format(*shapes))
    if not bool(offsets.isfinite().all() & probabilities.isfinite().all()):
        raise ValueError("class probabilities and offsets must be finite: the weights of the network may be damaged")
    points, classes = points.to(offsets.device), classes.to(offsets.device)
    present = classes.unique()  # of classes 0..K - 1, channels 1..K
    channels = torch.cat((present.new_zeros(1), present + 1))
    scores_map = _resize(probabilities[channels], input_size, output_size, stride)
    factors = offsets.new_tensor([output_size[0] / input_size[0], output_size[1] / input_size[1]])
    scaled = _resize(offsets, input_size, output_size, stride) * factors[:, None, None].to(scores_map.dtype)
    owner = refine_owners(channels[scores_map.argmax(0)], scaled, points, classes, regions)
    if keep_near:
        owner = keep_near_components(owner, points)
    numbers = torch.searchsorted(present, classes) + 1
    if weak_share > 0:
        owner = add_weak_masks(owner, scores_map, scaled, points, numbers, weak_share, regions)
    return _score(owner, scores_map, numbers)


def fallback_box(point: tuple[float, float], side: float, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the square around a point that replaces an empty mask, cut at the border of the image.

    Args:
        point: (x, y) in pixels.
        side: side of the square in pixels, for example the median mask side of the class.
        size: (height, width) of the image.

    Returns:
        (x0, y0, x1, y1) in pixels, of positive area if the point lies in the image.

    Raises:
        ValueError: the side is not positive.
    """
    if not side > 0:
        raise ValueError(f"the side of a square must be positive, got {side}")
    x, y, half = point[0], point[1], side / 2
    return max(x - half, 0.0), max(y - half, 0.0), min(x + half, float(size[1])), min(y + half, float(size[0]))


def keep_near_components(owner: Tensor, points: Tensor) -> Tensor:
    """Remove the components of each mask that are farther from the point's component than their own diameter.

    Args:
        owner: (H, W) int64, number of the object (index + 1), 0 = none.
        points: (N, 2) float, (x, y) in pixels of the map.

    Returns:
        (H, W) int64 on the device of the input.
    """
    values, pixels = owner.cpu().numpy().copy(), points.double().floor().cpu().numpy()
    for number, window in _windows(values).items():
        part = values[window]
        mask = part == number
        x, y = pixels[number - 1]
        part[mask & ~_near(mask, (int(x) - window[1].start, int(y) - window[0].start))] = 0
    return torch.from_numpy(values).to(owner.device)


def _windows(owner: np.ndarray) -> dict[int, tuple[slice, slice]]:
    """Return the bounding window (rows, columns) of each object that owns a pixel."""
    rows, columns = np.nonzero(owner)
    numbers = owner[rows, columns]
    order = np.argsort(numbers, kind="stable")
    found, starts = np.unique(numbers[order], return_index=True)
    if not len(found):
        return {}
    y, x = rows[order], columns[order]
    low = np.minimum.reduceat(y, starts), np.minimum.reduceat(x, starts)
    high = np.maximum.reduceat(y, starts) + 1, np.maximum.reduceat(x, starts) + 1
    spans = zip(found.tolist(), low[0], high[0], low[1], high[1], strict=True)
    return {number: (slice(int(a), int(b)), slice(int(c), int(d))) for number, a, b, c, d in spans}


def _near(mask: np.ndarray, point: tuple[int, int]) -> np.ndarray:
    """Return the components of a mask that are kept; ``point`` is the pixel (x, y), possibly outside the mask."""
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    x, y = point
    height, width = mask.shape
    own = int(numbers[y, x]) if 0 <= x < width and 0 <= y < height else 0
    if count == 2 and own:
        return mask
    if own:
        away = cv2.distanceTransform((numbers != own).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    else:
        away = np.hypot(np.arange(height)[:, None] - y, np.arange(width)[None] - x)
    nearest, inside = np.full(count, np.inf), numbers > 0
    np.minimum.at(nearest, numbers[inside], away[inside])
    diameters = np.sqrt(4 * stats[:, cv2.CC_STAT_AREA] / math.pi)
    keep = nearest < diameters
    keep[0] = False
    return keep[numbers]


def _resize(maps: Tensor, input_size: tuple[int, int], output_size: tuple[int, int], stride: int) -> Tensor:
    """Interpolate maps (C, h, w) of the padded input bilinearly at the pixels (H, W) of the original image."""
    maps = maps.float() if maps.dtype.itemsize < 4 else maps
    height, width = maps.shape[1] * stride, maps.shape[2] * stride
    if (height, width) == tuple(input_size):
        return F.interpolate(maps[None], size=output_size, mode="bilinear", align_corners=False)[0]
    y = (torch.arange(output_size[0], device=maps.device, dtype=maps.dtype) + 0.5) * (input_size[0] / output_size[0])
    x = (torch.arange(output_size[1], device=maps.device, dtype=maps.dtype) + 0.5) * (input_size[1] / output_size[1])
    y, x = y * (2 / height) - 1, x * (2 / width) - 1
    grid = torch.stack((x[None].expand(len(y), -1), y[:, None].expand(-1, len(x))), dim=2)
    return F.grid_sample(maps[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)[0]


def _score(owner: Tensor, probabilities: Tensor, channels: Tensor) -> PointMasks:
    """Average the channel of each object over its mask."""
    count = len(channels)
    rows, columns = owner.nonzero(as_tuple=True)
    index = owner[rows, columns] - 1
    areas = torch.bincount(index, minlength=count)
    sums = torch.zeros(count, dtype=torch.float64, device=owner.device)
    sums.index_add_(0, index, probabilities[channels[index], rows, columns].double())
    scores = torch.where(areas > 0, sums / areas.clamp(min=1), EMPTY_SCORE)
    return PointMasks(owner, scores.float(), areas)
