"""Pairwise losses on the CPU, computed in a crop of the map around each box.

Only pairs with a pixel in the box count, and a box covers a few percent of the map. A crop fits into the cache of the
processor. Terms of one pixel are computed once per pixel, and the four directions of a pair together. Only the gradient
inside the crop is saved for the backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..ops.edges import PixelIndex, neighbor_offsets


@dataclass(frozen=True)
class Crop:
    """Part of the map that contains the box of one instance and the neighbors of its pixels; ends are exclusive.

    Attributes:
        instance: index of the instance, 0..N-1.
        top, bottom, left, right: the part, in cells of the map.
        box: the box as (top, bottom, left, right) in cells of the part.
    """

    instance: int
    top: int
    bottom: int
    left: int
    right: int
    box: tuple[int, int, int, int]

    @property
    def index(self) -> tuple[int, slice, slice]:
        """Return the index of the part in (N, H, W)."""
        return self.instance, slice(self.top, self.bottom), slice(self.left, self.right)


class CropLosses(NamedTuple):
    """Pairwise losses of one instance for E edge sets.

    Attributes:
        sums: (E,) sum of -log P(same label).
        counts: (E,) number of directed pairs.
        gradients: (E, h, w) gradient of each sum by the logits of the crop.
    """

    sums: Tensor
    counts: Tensor
    gradients: Tensor


class _CropTerms(NamedTuple):
    """-log P(same label) of K pairs per pixel, (K, h, w), and its derivatives by the logits of both pixels."""

    nll: Tensor
    slope_here: Tensor
    slope_there: Tensor


def box_crops(rows: Tensor, columns: Tensor, margin: int) -> list[Crop]:
    """List one crop per box that covers a cell.

    Args:
        rows, columns: (N, H) and (N, W) bool, the rows and columns of each box (see ``ops.box_extents``).
        margin: number of cells added on each side of the box, up to the border of the map.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[False, False, True, False]])
        >>> columns = torch.tensor([[True, True, False, False]])
        >>> box_crops(rows, columns, margin=1)
        [Crop(instance=0, top=1, bottom=4, left=0, right=3, box=(1, 2, 0, 2))]
    """
    height, width = rows.shape[1], columns.shape[1]
    tops, lefts = rows.int().argmax(1).tolist(), columns.int().argmax(1).tolist()
    heights, widths = rows.sum(1).tolist(), columns.sum(1).tolist()
    crops = []
    for n, (y, x, h, w) in enumerate(zip(tops, lefts, heights, widths, strict=True)):
        if h and w:
            top, left = max(y - margin, 0), max(x - margin, 0)
            bottom, right = min(y + h + margin, height), min(x + w + margin, width)
            crops.append(Crop(n, top, bottom, left, right, (y - top, y + h - top, x - left, x + w - left)))
    return crops


def pairwise_in_crop(
    logits: Tensor, edges: Tensor, box: tuple[int, int, int, int], size: int, dilation: int
) -> CropLosses:
    """Compute the pairwise losses of one instance in its crop.

    Args:
        logits: (h, w) float32 or float64 of the crop, before the sigmoid.
        edges: (E, h, w) packed directed edges of the crop.
        box: pixels that are centers of pairs, (top, bottom, left, right) in the crop.
        size, dilation: kernel of neighbors of ``edges``.
    """
    (height, width), offsets = logits.shape, neighbor_offsets(size, dilation)
    half, last, reach = len(offsets) // 2, len(offsets) - 1, dilation * (size // 2)
    here = (..., slice(0, height), slice(reach, reach + width))
    windows = [(..., slice(dy, dy + height), slice(reach + dx, reach + dx + width)) for dy, dx in offsets[half:]]
    outgoing = _edges_from_box(edges, box, reach)
    terms = _pair_terms(logits, here, windows, reach)
    sums, counts = logits.new_empty((2, len(edges)))
    gradients = logits.new_zeros(outgoing.shape)
    for e, bits in enumerate(outgoing):
        pairs = [
            ((bits[here] >> k) & 1) + ((bits[there] >> (last - k)) & 1) for k, there in enumerate(windows, start=half)
        ]
        weight = torch.stack(pairs).to(logits.dtype)
        counts[e] = weight.sum()
        sums[e] = torch.dot(weight.flatten(), terms.nll.flatten())
        gradients[e][here] = (weight * terms.slope_here).sum(0)
        for there, slope in zip(windows, weight.mul_(terms.slope_there), strict=True):
            gradients[e][there] += slope
    return CropLosses(sums, counts, gradients[here])


def _edges_from_box(edges: Tensor, box: tuple[int, int, int, int], reach: int) -> Tensor:
    """Return the edges that start in the box, (E, h + reach, w + 2 reach), extended as in ``_pair_terms``."""
    sets, height, width = edges.shape
    top, bottom, left, right = box
    outgoing = edges.new_zeros((sets, height + reach, width + 2 * reach))
    outgoing[:, top:bottom, left + reach : right + reach] = edges[:, top:bottom, left:right]
    return outgoing


def _pair_terms(logits: Tensor, here: PixelIndex, windows: list[PixelIndex], reach: int) -> _CropTerms:
    """Compute the terms of all pairs of the second half of the kernel.

    The crop is extended on three sides such that every pixel has these neighbors. Pairs outside the map have no edge.

    Args:
        logits: (h, w), before the sigmoid.
        here: index of the crop in the extended crop.
        windows: indices of the K neighbors of its pixels.
        reach: size of the extension in cells.
    """
    height, width = logits.shape
    planes = logits.new_zeros((3, height + reach, width + 2 * reach))  # logit, sigmoid, log(1 + exp(-|logit|))
    inner = planes[here]
    inner[0] = logits
    torch.sigmoid(logits, out=inner[1])
    torch.log1p(torch.exp(-logits.abs()), out=inner[2])
    b, score_b, residual_b = torch.stack([planes[there] for there in windows], dim=1)
    a, score_a, residual_a = inner[:, None]
    total = a + b
    nll = torch.log1p(torch.exp(-total.abs())).neg_().add_(residual_a).add_(residual_b)
    nll += torch.where(a * b < 0, torch.minimum(a.abs(), b.abs()), 0)
    both = total.sigmoid_()
    return _CropTerms(nll, score_a - both, score_b - both)
