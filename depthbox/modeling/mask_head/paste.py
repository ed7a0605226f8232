"""From predictions on the mask grid to what a user is given: masks of the original image, a depth each.

Pasting is two linear interpolations: ``aligned_upsample`` to the network's input, then what
``F.interpolate(mode="bilinear", align_corners=False)`` does to the output image. Only the part of the output that a
mask's cells above the threshold can reach is computed, each pixel by the same arithmetic whatever that part is, so
bool masks and run-length codes are the same bit for bit.
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

# Cells below the threshold by more than this cannot lift a pixel above it, whatever the rounding.
_MARGIN = 1e-5
_CHUNK_PIXELS = 2**19  # fits into a core's cache; larger ones are slower


def paste_masks(
    logits: Tensor,
    stride: int,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    *,
    threshold: float = 0.5,
    chunk_pixels: int = _CHUNK_PIXELS,
) -> Tensor:
    """Resample mask probabilities to the output image and cut them at the threshold.

    Args:
        logits: (N, 1, H, W) before the sigmoid, ``stride`` input pixels per cell.
        stride: as above.
        image_size: (height, width) of the network's input without padding.
        output_size: (height, width) of the result.
        threshold: least probability of the mask, exclusive.
        chunk_pixels: output pixels that are resampled at once; bounds the memory, not the result.

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
    """The masks of ``paste_masks`` as COCO's RLEs, one mask in memory at a time, and of it only its own part.

    Args:
        logits, stride, image_size, output_size, threshold, chunk_pixels: see ``paste_masks``.

    Returns:
        N dicts with size [height, width] and counts (str).
    """
    height, width = output_size
    edges: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(logits)
    for part in _parts(logits, stride, image_size, output_size, threshold):
        rows, columns = part.rows.cells, part.columns.cells
        # Column by column, as RLEs run, each column between two cells of nothing.
        frame = logits.new_zeros((columns.stop - columns.start, rows.stop - rows.start + 2), dtype=torch.bool)
        part.write(frame[:, 1:-1].t(), threshold, chunk_pixels)
        edges[part.number] = _edges(frame.cpu().numpy(), rows.start, columns.start, height)
    return [_rle(places, height, width) for places in edges]


def mean_depth(logits: Tensor, depth_logits: Tensor) -> Tensor:
    """Mean predicted depth (N,) in [0, 1], 1 = near, of each mask's cells; 0 where a mask is empty.

    A cell counts as much as its probability exceeds one half: cells at the border of a small mask, which rounding may
    put on either side of it, then change nothing.

    Args:
        logits: (N, 1, H, W) mask before the sigmoid.
        depth_logits: (N, 1, H, W) instance depth before the sigmoid.
    """
    inside = (logits.float().sigmoid() - 0.5).clamp(min=0)
    total = (depth_logits.float().sigmoid() * inside).sum((1, 2, 3))
    return total / inside.sum((1, 2, 3)).clamp(min=torch.finfo(torch.float32).tiny)


@dataclass(frozen=True)
class _Axis:
    """How cells of one axis of the output read the input's pixels: near (1 - weight) + far weight.

    Attributes:
        near, far: (n,) indices of pixels, both growing.
        weight, rest: (n,) float32, together 1.
        cells: which of the output's cells these are.
    """

    near: Tensor
    far: Tensor
    weight: Tensor
    rest: Tensor
    cells: slice

    @classmethod
    def whole(cls, pixels: int, size: int) -> _Axis:
        """All ``size`` cells of the output, on the CPU."""
        # F.interpolate finds its places in float32 by one fused multiply-add; so does this.
        scale = float(np.float32(pixels) / np.float32(size))
        place = (scale * (torch.arange(size, dtype=torch.float64) + 0.5) - 0.5).float().clamp(min=0)
        near = place.floor().clamp(max=pixels - 1)
        weight = (place - near).clamp(max=1)
        near = near.long()
        return cls(near, (near + 1).clamp(max=pixels - 1), weight, 1 - weight, slice(0, size))

    def reading(self, first: int, last: int, device: torch.device) -> _Axis:
        """Those cells that read nothing but the pixels ``first`` to ``last`` (exclusive), counted from ``first``."""
        start, stop = bisect_left(self.near.numpy(), first), bisect_left(self.far.numpy(), last)
        own = slice(start, max(start, stop))
        near, far = (self.near[own] - first).to(device), (self.far[own] - first).to(device)
        return _Axis(near, far, self.weight[own].to(device), self.rest[own].to(device), own)

    def read(self, scores: Tensor, dim: int, own: slice = slice(None)) -> Tensor:
        """Interpolate (rows, columns) along a dimension, at some of the cells."""
        shape = (-1, 1) if dim == 0 else (1, -1)
        values = scores.index_select(dim, self.far[own]).mul_(self.weight[own].view(shape))
        return values.addcmul_(scores.index_select(dim, self.near[own]), self.rest[own].view(shape))


@dataclass(frozen=True)
class _Part:
    """The part of an output image outside of which a mask is empty.

    Attributes:
        number: of the mask.
        scores: (h, w) probabilities at the pixels of the network's input that the part reads.
        rows, columns: how it reads them.
    """

    number: int
    scores: Tensor
    rows: _Axis
    columns: _Axis

    def write(self, out: Tensor, threshold: float, chunk_pixels: int) -> None:
        """Resample and cut at the threshold, into a bool tensor of the part's size."""
        wide = self.columns.read(self.scores, 1)
        step = max(chunk_pixels // max(wide.shape[1], 1), 1)
        for start in range(0, len(out), step):
            own = slice(start, start + step)
            torch.gt(self.rows.read(wide, 0, own), threshold, out=out[own])


@torch.no_grad()
def _parts(
    logits: Tensor, stride: int, image_size: tuple[int, int], output_size: tuple[int, int], threshold: float
) -> Iterator[_Part]:
    """What is to be computed of each mask, in order; masks without a cell above the threshold are left out."""
    if logits.numel() == 0:
        return
    axes = [_Axis.whole(pixels, size) for pixels, size in zip(image_size, output_size, strict=True)]
    for number, extent in enumerate(_extents(logits, threshold)):
        # Two more cells on each side: they separate what the mask reaches from what the cut falsifies.
        cells = [(max(first - 2, 0), last + 2) for first, last in extent]
        if any(last <= first for first, last in extent):
            continue
        # The sigmoid of the whole grid: of a part of it, vectorised otherwise, it may differ by a rounding.
        scores = logits[number, 0].float().sigmoid()[tuple(slice(*ends) for ends in cells)]
        scores = aligned_upsample(scores, stride)
        starts = [first * stride for first, _ in cells]
        stops = [min(start + n, size) for start, n, size in zip(starts, scores.shape, image_size, strict=True)]
        rows, columns = (
            axis.reading(start, stop, logits.device) for axis, start, stop in zip(axes, starts, stops, strict=True)
        )
        if len(rows.near) and len(columns.near):
            yield _Part(number, scores, rows, columns)


def _extents(logits: Tensor, threshold: float) -> list[list[list[int]]]:
    """[[first row, last row], [first column, last column]] (last exclusive) of each mask's cells that count."""
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
    """Where a mask begins and ends, in turn, counted down the columns of the whole image.

    Args:
        frame: (columns, rows + 2) bool, a part of the mask with an empty cell before and after each column.
        top, left: of the part.
        height: of the image.
    """
    flat = frame.reshape(-1)
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), frame.shape[1])
    places = (left + column) * height + top + row
    # A run that goes on at the head of the next column neither ends nor begins there.
    twice = np.flatnonzero(places[1:] == places[:-1])
    return np.delete(places, np.concatenate((twice, twice + 1)))


def _rle(edges: np.ndarray, height: int, width: int) -> dict[str, Any]:
    counts = np.diff(edges, prepend=0, append=height * width).tolist()
    if counts[-1] == 0:
        counts.pop()
    rle = mask_util.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}
