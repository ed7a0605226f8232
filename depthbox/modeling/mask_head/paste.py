"""Pasting of predicted masks into the original image, and the mean depth of each mask.

Pasting is two linear interpolations: ``aligned_upsample`` to the size of the network's input, then that of
``F.interpolate(mode="bilinear", align_corners=False)`` to the output image. Only the part of the output that the
cells above the threshold can reach is computed. The arithmetic of a pixel does not depend on that part, so that bool
masks and run-length codes are equal bit for bit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from torch import Tensor

from ...ops import aligned_upsample

# A cell that is further below the threshold cannot lift a pixel above it, whatever the rounding.
_MARGIN = 1e-5
_CHUNK_PIXELS = 2**19  # fits into the cache of a core; larger chunks are slower


def paste_masks(
    logits: Tensor,
    stride: int,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    *,
    threshold: float = 0.5,
    chunk_pixels: int = _CHUNK_PIXELS,
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
    for part in _parts(logits, stride, image_size, output_size, threshold):
        part.write(masks[part.number, part.rows.cells, part.columns.cells], threshold, chunk_pixels)
    return masks


def paste_rles(
    logits: Tensor,
    stride: int,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    *,
    threshold: float = 0.5,
    chunk_pixels: int = _CHUNK_PIXELS,
) -> list[dict[str, Any]]:
    """Encode the masks of ``paste_masks`` as COCO RLEs, with one cropped mask in memory at a time.

    Args:
        logits: (N, 1, H, W) float, before the sigmoid.
        stride, image_size, output_size, threshold, chunk_pixels: see ``paste_masks``.

    Returns:
        N dicts with size [height, width] and counts (str).
    """
    height, width = output_size
    edges: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(logits)
    for part in _parts(logits, stride, image_size, output_size, threshold):
        rows, columns = part.rows.cells, part.columns.cells
        # RLEs run down the columns; an empty cell is added before and after each column.
        frame = logits.new_zeros((columns.stop - columns.start, rows.stop - rows.start + 2), dtype=torch.bool)
        part.write(frame[:, 1:-1].t(), threshold, chunk_pixels)
        edges[part.number] = _edges(frame.cpu().numpy(), rows.start, columns.start, height)
    return [_rle(places, height, width) for places in edges]


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

    @classmethod
    def whole(cls, pixels: int, size: int) -> _Axis:
        """Return the interpolation of all ``size`` output pixels from ``pixels`` input pixels, on the CPU."""
        # F.interpolate computes the coordinates in float32 by one fused multiply-add; so does this code.
        scale = float(np.float32(pixels) / np.float32(size))
        coordinate = (scale * (torch.arange(size, dtype=torch.float64) + 0.5) - 0.5).float().clamp(min=0)
        near = coordinate.floor().clamp(max=pixels - 1)
        weight = (coordinate - near).clamp(max=1)
        near = near.long()
        return cls(near, (near + 1).clamp(max=pixels - 1), weight, 1 - weight, slice(0, size))

    def restrict(self, first: int, last: int, device: torch.device) -> _Axis:
        """Return the output pixels that depend on the input pixels [first, last) only, with indices from ``first``."""
        start, stop = bisect_left(self.near.numpy(), first), bisect_left(self.far.numpy(), last)
        own = slice(start, max(start, stop))
        near, far = (self.near[own] - first).to(device), (self.far[own] - first).to(device)
        return _Axis(near, far, self.weight[own].to(device), self.rest[own].to(device), own)

    def interpolate(self, scores: Tensor, dim: int, own: slice = slice(None)) -> Tensor:
        """Interpolate scores (rows, columns) along a dimension, at the output pixels ``own``."""
        shape = (-1, 1) if dim == 0 else (1, -1)
        values = scores.index_select(dim, self.far[own]).mul_(self.weight[own].view(shape))
        return values.addcmul_(scores.index_select(dim, self.near[own]), self.rest[own].view(shape))


@dataclass(frozen=True)
class _PasteRegion:
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
def _parts(
    logits: Tensor, stride: int, image_size: tuple[int, int], output_size: tuple[int, int], threshold: float
) -> Iterator[_PasteRegion]:
    """Yield the part of each mask, in order; masks without a cell above the threshold are skipped."""
    if logits.numel() == 0:
        return
    axes = [_Axis.whole(pixels, size) for pixels, size in zip(image_size, output_size, strict=True)]
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
        rows, columns = (
            axis.restrict(start, stop, logits.device) for axis, start, stop in zip(axes, starts, stops, strict=True)
        )
        if len(rows.near) and len(columns.near):
            yield _PasteRegion(number, scores, rows, columns)


def _extents(logits: Tensor, threshold: float) -> list[list[list[int]]]:
    """Return [[first row, last row], [first column, last column]] (last exclusive) of the relevant cells per mask."""
    lowest = torch.logit(torch.tensor(threshold - _MARGIN, dtype=torch.float64).clamp(0, 1)).item()
    inside = logits[:, 0].float() >= lowest
    extents = []
    for dim in (2, 1):
        lines = inside.any(dim)
        n = lines.shape[1]
        first = torch.where(lines.any(1), lines.byte().argmax(1), n)
        extents.append(torch.stack((first, n - lines.flip(1).byte().argmax(1)), 1))
    return torch.stack(extents, 1).tolist()


def _edges(frame: np.ndarray, top: int, left: int, height: int) -> np.ndarray:
    """Return the pixels at which the runs of a mask start and end, in turn, counted down the image's columns.

    Args:
        frame: (columns, rows + 2) bool, part of the mask with an empty cell before and after each column.
        top, left: first row and column of the part.
        height: height of the image.
    """
    flat = frame.reshape(-1)
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), frame.shape[1])
    places = (left + column) * height + top + row
    # A run that continues at the top of the next column neither ends nor starts there.
    twice = np.flatnonzero(places[1:] == places[:-1])
    return np.delete(places, np.concatenate((twice, twice + 1)))


def _rle(edges: np.ndarray, height: int, width: int) -> dict[str, Any]:
    counts = np.diff(edges, prepend=0, append=height * width).tolist()
    if counts[-1] == 0:
        counts.pop()
    rle = mask_util.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}
