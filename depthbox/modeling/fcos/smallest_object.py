"""The smallest object that each location accepts, found without comparing all locations with all objects.

Objects are ranked by area. The assignment of a location is then a minimum of integers, which does not depend on the
device or on the order of evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .locations import Locations

COMPARISONS = 2**20  # maximum number of pairs of a location and an object that are compared at a time


@dataclass(frozen=True)
class SideDistances:
    """Distances of coordinates from the sides and the centers of boxes, per axis (x or y), in pixels.

    Attributes:
        low, high: (...) float, signed distances from the lower and the upper side; positive inside the box.
        center: (...) float, absolute distances from the center.
    """

    low: Tensor
    high: Tensor
    center: Tensor

    @classmethod
    def measure(cls, coordinates: Tensor, low: Tensor, high: Tensor, center: Tensor) -> SideDistances:
        """Measure the distances of coordinates from sides and centers; all arguments broadcast to (...)."""
        return cls(coordinates - low, high - coordinates, (coordinates - center).abs())

    @property
    def largest(self) -> Tensor:
        """Distances (...) from the farther side."""
        return torch.maximum(self.low, self.high)


def in_center_region(distances: SideDistances, radius: Tensor | None) -> Tensor:
    """Return, per axis, whether coordinates lie strictly inside the box and near its center (FCOS center sampling).

    Args:
        distances: distances (...) of the coordinates.
        radius: half the side of the square around the center, in pixels, broadcastable to (...); None = no limit.

    Returns:
        (...) bool; a location lies in the region if both of its coordinates do.
    """
    inside = torch.minimum(distances.low, distances.high) > 0
    return inside if radius is None else inside & (distances.center < radius)


def in_size_range(largest: Tensor, size_range: Tensor) -> Tensor:
    """Return whether max(l, t, r, b) (...) lies in the range (..., 2) of the level, bounds included."""
    return (largest >= size_range[..., 0]) & (largest <= size_range[..., 1])


@dataclass(frozen=True)
class RankedObjects:
    """Objects of a batch, all images concatenated, ranked by area.

    Attributes:
        boxes: (M, 4) float32 xyxy, input pixels.
        centers: (M, 2) float32, (x, y) around which locations are sampled.
        rank: (M,) int64, position in the order of areas, ties by index; M for an infinite area.
        by_rank: (M,) int64, object of each rank.
        counts: number of objects of each image, on the host.
    """

    boxes: Tensor
    centers: Tensor
    rank: Tensor
    by_rank: Tensor
    counts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.boxes)


def rank_objects(boxes: Tensor, centers: Tensor, counts: Sequence[int]) -> RankedObjects:
    """Rank boxes (M, 4) with centers (M, 2) by area; ``counts`` holds the number of objects of each image."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    by_rank = torch.argsort(areas, stable=True)
    rank = torch.empty_like(by_rank)
    rank[by_rank] = torch.arange(len(areas), device=areas.device)
    rank.masked_fill_(areas == math.inf, len(areas))
    return RankedObjects(boxes, centers, rank, by_rank, tuple(counts))


def smallest_object_rank(locations: Locations, objects: RankedObjects, radius: float | None) -> Tensor:
    """Return the lowest rank among the objects that each location accepts.

    Args:
        locations: P locations of one image.
        objects: M objects of the batch.
        radius: half the side of the square around the center, in strides; None = no limit.

    Returns:
        (B, P) int64; M for a location without an object.
    """
    if radius is not None:
        # Cells of an axis nearer than the radius, and one more on each side because their bounds are rounded.
        span = math.ceil(2 * radius) + 2
        if span**2 * len(locations.sizes) < len(locations):
            return _rank_near_centers(locations, objects, radius, span)
    return _rank_everywhere(locations, objects, radius)


def _rank_near_centers(locations: Locations, objects: RankedObjects, radius: float, span: int) -> Tensor:
    """Visit n x n cells of each of L levels around the center of each of M objects, with n = ``span``."""
    nobody, dtype = len(objects), locations.xy.dtype
    levels = zip(locations.strides, locations.sizes, _level_starts(locations.sizes), strict=True)
    table = torch.tensor([(stride, width, height, start) for stride, (height, width), start in levels])
    stride, width, height, start = table.to(objects.rank.device, non_blocking=True).unbind(1)  # (L,) each
    size = torch.stack((width, height), dim=1)[..., None]  # (L, 2, 1)

    first = ((objects.centers[:, None] - (stride // 2)[:, None]) / stride[:, None] - radius).floor()
    first = first.nan_to_num(-span).clamp(min=-span).minimum(size[..., 0]).long()
    cell = first[..., None] + torch.arange(span, device=first.device)  # (M, L, 2, n)
    distances = SideDistances.measure(
        (cell * stride[:, None, None] + (stride // 2)[:, None, None]).to(dtype),
        objects.boxes[:, None, :2, None],
        objects.boxes[:, None, 2:, None],
        objects.centers[:, None, :, None],
    )
    region = in_center_region(distances, (radius * stride.to(dtype))[:, None, None])
    accepts = _combine_axes(region & (cell >= 0) & (cell < size), torch.logical_and)
    largest = _combine_axes(distances.largest, torch.maximum)
    accepts &= in_size_range(largest, locations.size_range[start][:, None, None])

    column, row = cell.clamp(min=0).minimum(size - 1).unbind(2)
    index = (row * width[:, None] + start[:, None])[..., None] + column[:, :, None]
    index += _image_starts(objects.counts, len(locations), index.device)[:, None, None, None]
    rank = torch.where(accepts, objects.rank[:, None, None, None], nobody)
    result = rank.new_full((len(objects.counts) * len(locations),), nobody)
    result.scatter_reduce_(0, index.flatten(), rank.flatten(), "amin")
    return result.view(len(objects.counts), len(locations))


def _combine_axes(axes: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine values of x and y (M, L, 2, n) into values of cells (M, L, n, n), row-major."""
    return combine(axes[:, :, 0, None, :], axes[:, :, 1, :, None])


def _rank_everywhere(locations: Locations, objects: RankedObjects, radius: float | None) -> Tensor:
    """Compare all locations with a few objects of each image at a time, to bound the memory."""
    nobody = len(objects)
    boxes, centers, rank = (
        pad_sequence(x.split(objects.counts), batch_first=True, padding_value=padding)[:, None]
        for x, padding in ((objects.boxes, 0), (objects.centers, 0), (objects.rank, nobody))
    )  # (B, 1, N, ...)
    result = rank.new_full((len(objects.counts), len(locations)), nobody)
    limit = None if radius is None else (radius * locations.stride)[:, None, None]
    step = max(COMPARISONS // max(result.numel(), 1), 1)
    for part in (slice(i, i + step) for i in range(0, rank.shape[2], step)):
        distances = SideDistances.measure(
            locations.xy[:, None], boxes[:, :, part, :2], boxes[:, :, part, 2:], centers[:, :, part]
        )
        accepts = in_center_region(distances, limit).all(-1)
        accepts &= in_size_range(distances.largest.amax(-1), locations.size_range[:, None])
        result = result.minimum(torch.where(accepts, rank[:, :, part], nobody).amin(-1))
    return result


def _level_starts(sizes: Sequence[tuple[int, int]]) -> list[int]:
    """Return the index of the first location of each level."""
    return [0, *accumulate(height * width for height, width in sizes)][:-1]


def _image_starts(counts: Sequence[int], step: int, device: torch.device) -> Tensor:
    """Return the image index of each object times ``step``, (M,) int64."""
    return torch.cat([torch.full((count,), image * step, device=device) for image, count in enumerate(counts)])
