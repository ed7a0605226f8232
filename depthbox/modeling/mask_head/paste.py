"""Pasting of predicted masks into the original image, and the mean depth of each mask.

Pasting is two linear interpolations: ``aligned_upsample`` to the size of the network's input, then that of
``F.interpolate(mode="bilinear", align_corners=False)`` to the output image. Only the part of the output that the
cells above the threshold can reach is computed. The arithmetic of a pixel does not depend on that part, so that bool
masks and run-length codes are equal bit for bit.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...ops import aligned_upsample

# A cell that is further below the threshold cannot lift a pixel above it, whatever the rounding.
_MARGIN = 1e-5
CHUNK_PIXELS = 2**19  # fits into the cache of a core; larger chunks are slower


def paste_masks(
    logits: Tensor,
    stride: int,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    *,
    threshold: float = 0.5,
    chunk_pixels: int = CHUNK_PIXELS,
) -> Tensor:
    """Resample mask probabilities to the output image and binarize them.

    Args:
        logits: (N, 1, H, W) float, before the sigmoid.
        stride: input pixels per cell of the logits.
        image_size: (height, width) of the network's input without padding, pixels.
        output_size: (height, width) of the result, pixels.
        threshold: minimum probability of the mask, exclusive.
        chunk_pixels: number of output pixels that are resampled at once; changes the memory, not the result.

    Returns:
        (N, height, width) bool.
    """
    masks = torch.zeros((len(logits), *output_size), dtype=torch.bool, device=logits.device)
    for part in paste_regions(logits, stride, image_size, output_size, threshold):
        part.write(masks[part.number, part.rows.cells, part.columns.cells], threshold, chunk_pixels)
    return masks


def mean_depth(logits: Tensor, depth_logits: Tensor) -> Tensor:
    """Compute the mean predicted depth of each mask.

    A cell is weighted by the excess of its probability over 0.5. Cells at the border of a small mask, whose probability
    rounds to either side of 0.5, thus have no influence.

    Args:
        logits: (N, 1, H, W) float, masks before the sigmoid.
        depth_logits: (N, 1, H, W) float, instance depth before the sigmoid.

    Returns:
        (N,) float32 in [0, 1], 1 = near; 0 for an empty mask.
    """
    inside = (logits.float().sigmoid() - 0.5).clamp(min=0)
    total = (depth_logits.float().sigmoid() * inside).sum((1, 2, 3))
    return total / inside.sum((1, 2, 3)).clamp(min=torch.finfo(torch.float32).tiny)


@dataclass(frozen=True)
class _Axis:
    """Linear interpolation along one axis: output pixel = near * (1 - weight) + far * weight.

    Attributes:
        near, far: (n,) int64, indices of input pixels, both ascending.
        weight, rest: (n,) float32, with sum 1.
        cells: range of the output pixels.
    """

    near: Tensor
    far: Tensor
    weight: Tensor
    rest: Tensor
    cells: slice

    def interpolate(self, scores: Tensor, dim: int, own: slice = slice(None)) -> Tensor:
        """Interpolate scores (rows, columns) along a dimension, at the output pixels ``own``."""
        shape = (-1, 1) if dim == 0 else (1, -1)
        values = scores.index_select(dim, self.far[own]).mul_(self.weight[own].view(shape))
        return values.addcmul_(scores.index_select(dim, self.near[own]), self.rest[own].view(shape))


@dataclass(frozen=True)
class _WholeAxis:
    """Linear interpolation of all output pixels along one axis.

    Attributes:
        near, far: indices of input pixels, ascending, on the host.
        axis: the same interpolation on the device, copied at once.
    """

    near: np.ndarray
    far: np.ndarray
    axis: _Axis

    @classmethod
    def of_sizes(cls, pixels: int, size: int, device: torch.device) -> _WholeAxis:
        """Return the interpolation of all ``size`` output pixels from ``pixels`` input pixels."""
        # F.interpolate computes the coordinates in float32 by one fused multiply-add; so does this code.
        scale = float(np.float32(pixels) / np.float32(size))
        coordinate = (scale * (np.arange(size) + 0.5) - 0.5).astype(np.float32).clip(min=0)
        near = np.floor(coordinate).clip(max=pixels - 1)
        weight = (coordinate - near).clip(max=1)
        far = (near + 1).clip(max=pixels - 1)
        table = torch.from_numpy(np.stack((near, far, weight, 1 - weight))).to(
            device
        )  # float32 holds indices below 2^24 exactly
        axis = _Axis(table[0].long(), table[1].long(), table[2], table[3], slice(0, size))
        return cls(near, far, axis)

    def restrict(self, first: int, last: int) -> _Axis:
        """Return the output pixels that depend on the input pixels [first, last) only, with indices from ``first``."""
        start, stop = bisect_left(self.near, first), bisect_left(self.far, last)
        own, axis = slice(start, max(start, stop)), self.axis
        return _Axis(axis.near[own] - first, axis.far[own] - first, axis.weight[own], axis.rest[own], own)


@dataclass(frozen=True)
class PasteRegion:
    """Part of an output image outside of which a mask is empty.

    Attributes:
        number: index of the mask.
        scores: (h, w) float32, probabilities at the pixels of the network's input on which the part depends.
        rows, columns: interpolation of both axes.
    """

    number: int
    scores: Tensor
    rows: _Axis
    columns: _Axis

    def write(self, out: Tensor, threshold: float, chunk_pixels: int) -> None:
        """Resample and binarize the mask into ``out``, (rows, columns) bool."""
        wide = self.columns.interpolate(self.scores, 1)
        step = max(chunk_pixels // max(wide.shape[1], 1), 1)
        for start in range(0, len(out), step):
            own = slice(start, start + step)
            torch.gt(self.rows.interpolate(wide, 0, own), threshold, out=out[own])


@torch.no_grad()
def paste_regions(
    logits: Tensor, stride: int, image_size: tuple[int, int], output_size: tuple[int, int], threshold: float
) -> Iterator[PasteRegion]:
    """Yield the part of each mask, in order; masks without a cell above the threshold are skipped.

    Args:
        logits, stride, image_size, output_size, threshold: see ``paste_masks``.
    """
    if logits.numel() == 0:
        return
    device = logits.device
    axes = [_WholeAxis.of_sizes(pixels, size, device) for pixels, size in zip(image_size, output_size, strict=True)]
    for number, extent in enumerate(_extents(logits, threshold)):
        # Two more cells on each side: pixels that the mask can reach then do not depend on cells outside the crop.
        cells = [(max(first - 2, 0), last + 2) for first, last in extent]
        if any(last <= first for first, last in extent):
            continue
        # The sigmoid is taken of the whole grid: of a crop, vectorized differently, it may be rounded differently.
        scores = logits[number, 0].float().sigmoid()[tuple(slice(*ends) for ends in cells)]
        scores = aligned_upsample(scores, stride)
        starts = [first * stride for first, _ in cells]
        stops = [min(start + n, size) for start, n, size in zip(starts, scores.shape, image_size, strict=True)]
        rows, columns = (axis.restrict(start, stop) for axis, start, stop in zip(axes, starts, stops, strict=True))
        if len(rows.near) and len(columns.near):
            yield PasteRegion(number, scores, rows, columns)


def _extents(logits: Tensor, threshold: float) -> list[list[list[int]]]:
    """Return [[first row, last row], [first column, last column]] (last exclusive) of the relevant cells per mask."""
    probability = min(max(threshold - _MARGIN, 0.0), 1.0)
    lowest = (
        math.inf if probability == 1 else math.log(probability / (1 - probability)) if probability > 0 else -math.inf
    )
    inside = logits[:, 0].float() >= lowest
    extents = []
    for dim in (2, 1):
        lines = inside.any(dim)
        n = lines.shape[1]
        first = torch.where(lines.any(1), lines.byte().argmax(1), n)
        extents.append(torch.stack((first, n - lines.flip(1).byte().argmax(1)), 1))
    return torch.stack(extents, 1).tolist()
