"""Which object claims a position: of those that accept it the smallest, of equal ones the first.

Objects are ranked by area, so that the claim of a position is a minimum of whole numbers: the same on every device, in
whatever order it is formed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .locations import Positions

COMPARISONS = 2**20  # of a position with an object, at a time


@dataclass(frozen=True)
class Objects:
    """Objects of a batch, all images concatenated.

    Attributes:
        boxes: (M, 4) float32 xyxy, input pixels.
        centers: (M, 2), (x, y), round which positions are sampled.
        rank: (M,) int64, place in the order of areas, of equal areas in that of indices; M where the area is infinite.
        by_rank: (M,) int64, the object of each place.
        counts: objects of each image, on the host.
    """

    boxes: Tensor
    centers: Tensor
    rank: Tensor
    by_rank: Tensor
    counts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.boxes)


def rank_objects(boxes: Tensor, centers: Tensor, counts: Sequence[int]) -> Objects:
    """Objects from boxes (M, 4) and centres (M, 2) of a batch, ``counts`` of each image."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    by_rank = torch.argsort(areas, stable=True)
    rank = torch.empty_like(by_rank)
    rank[by_rank] = torch.arange(len(areas), device=areas.device)
    rank.masked_fill_(areas == math.inf, len(areas))
    return Objects(boxes, centers, rank, by_rank, tuple(counts))


def claims(positions: Positions, objects: Objects, radius: float | None) -> Tensor:
    """Least rank (B, P) of the objects that accept each position of each image; M where none does.

    Args:
        positions: of one image.
        objects: of the batch.
        radius: half side, in strides, of the square round its centre to which an object is confined; None = no limit.
    """
    if radius is not None:
        # Cells of an axis nearer than the radius, and one on each side, since their bounds are rounded.
        span = math.ceil(2 * radius) + 2
        if span**2 * len(positions.sizes) < len(positions):
            return _claims_near_centers(positions, objects, radius, span)
    return _claims_anywhere(positions, objects, radius)


def _claims_near_centers(positions: Positions, objects: Objects, radius: float, span: int) -> Tensor:
    """From ``span`` x ``span`` cells of each level round each centre; letters: M objects, L levels, n = ``span``."""
    nobody, dtype = len(objects), positions.locations.dtype
    levels = zip(positions.strides, positions.sizes, _starts(positions.sizes), strict=True)
    table = torch.tensor([(stride, width, height, start) for stride, (height, width), start in levels])
    stride, width, height, start = table.to(objects.rank.device, non_blocking=True).unbind(1)  # (L,) each
    size = torch.stack((width, height), dim=1)[..., None]  # (L, 2, 1)

    first = ((objects.centers[:, None] - (stride // 2)[:, None]) / stride[:, None] - radius).floor()
    first = first.nan_to_num(-span).clamp(min=-span).minimum(size[..., 0]).long()
    cell = first[..., None] + torch.arange(span, device=first.device)  # (M, L, 2, n)
    location = (cell * stride[:, None, None] + (stride // 2)[:, None, None]).to(dtype)
    low, high = location - objects.boxes[:, None, :2, None], objects.boxes[:, None, 2:, None] - location
    near = (location - objects.centers[:, None, :, None]).abs() < (radius * stride.to(dtype))[:, None, None]
    accepts = near & (torch.minimum(low, high) > 0) & (cell >= 0) & (cell < size)
    largest = torch.maximum(low, high)

    accepts, largest = _grid(accepts, torch.logical_and), _grid(largest, torch.maximum)  # (M, L, n, n)
    bounds = positions.size_range[start][..., None, None]  # (L, 2, 1, 1)
    accepts &= (largest >= bounds[:, 0]) & (largest <= bounds[:, 1])
    column, row = cell.clamp(min=0).minimum(size - 1).unbind(2)
    index = (row * width[:, None] + start[:, None])[..., None] + column[:, :, None]
    index += _image_starts(objects.counts, len(positions), index.device)[:, None, None, None]
    rank = torch.where(accepts, objects.rank[:, None, None, None], nobody)
    result = rank.new_full((len(objects.counts) * len(positions),), nobody)
    result.scatter_reduce_(0, index.flatten(), rank.flatten(), "amin")
    return result.view(len(objects.counts), len(positions))


def _grid(axes: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Values of x and y (M, L, 2, n) to those of all cells (M, L, n, n), rows first."""
    return combine(axes[:, :, 0, None, :], axes[:, :, 1, :, None])


def _claims_anywhere(positions: Positions, objects: Objects, radius: float | None) -> Tensor:
    """From all positions, for a few objects of each image at a time, so that memory is bounded."""
    nobody = len(objects)
    boxes, centers, rank = (
        pad_sequence(x.split(objects.counts), batch_first=True, padding_value=padding)[:, None]
        for x, padding in ((objects.boxes, 0), (objects.centers, 0), (objects.rank, nobody))
    )  # (B, 1, N, ...)
    result = rank.new_full((len(objects.counts), len(positions)), nobody)
    locations, bounds = positions.locations[:, None], positions.size_range
    step = max(COMPARISONS // max(result.numel(), 1), 1)
    for part in (slice(i, i + step) for i in range(0, rank.shape[2], step)):
        low, high = locations - boxes[:, :, part, :2], boxes[:, :, part, 2:] - locations
        accepts = torch.minimum(low, high).amin(-1) > 0
        if radius is not None:
            near = (locations - centers[:, :, part]).abs() < (radius * positions.stride)[:, None, None]
            accepts &= near.all(-1)
        largest = torch.maximum(low, high).amax(-1)
        accepts &= (largest >= bounds[:, :1]) & (largest <= bounds[:, 1:])
        result = result.minimum(torch.where(accepts, rank[:, :, part], nobody).amin(-1))
    return result


def _starts(sizes: Sequence[tuple[int, int]]) -> list[int]:
    """Index of the first position of each level."""
    return [0, *accumulate(height * width for height, width in sizes)][:-1]


def _image_starts(counts: Sequence[int], step: int, device: torch.device) -> Tensor:
    """(M,) image of each object times ``step``."""
    return torch.cat([torch.full((count,), image * step, device=device) for image, count in enumerate(counts)])
