"""The pairwise losses on the CPU: each row in the crop round its box, where alone its pairs count.

A box covers a few percent of the map. A crop fits into the processor's cache, what depends on one pixel is computed
once a pixel, and the four directions of a pair are computed together. Nothing but the gradient in the crop is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.edges import neighbor_offsets


@dataclass(frozen=True)
class Crop:
    """Part of the map that holds a box and the neighbours of its pixels; ends are exclusive.

    Attributes:
        row: which row of the logits.
        top, bottom, left, right: the part, in cells.
        box: the box within it, (top, bottom, left, right).
    """

    row: int
    top: int
    bottom: int
    left: int
    right: int
    box: tuple[int, int, int, int]

    @property
    def where(self) -> tuple[int, slice, slice]:
        """Index of the part in (N, H, W)."""
        return self.row, slice(self.top, self.bottom), slice(self.left, self.right)


def box_crops(rows: Tensor, columns: Tensor, margin: int) -> list[Crop]:
    """One crop per box that covers a cell, ``margin`` cells larger on each side where the map goes on.

    Args:
        rows, columns: (N, H) and (N, W) bool, the boxes (``ops.box_extents``).
        margin: reach of the kernel of neighbours.
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
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of -log P(same label), number of directed pairs, and the sum's gradient, for each set of edges.

    Args:
        logits: (h, w) of one row in its crop, float32 or float64.
        edges: (E, h, w) packed directed edges there.
        box: pixels that are the centre of a pair, (top, bottom, left, right).
        size, dilation: the kernel that ``edges`` was made with.

    Returns:
        sums (E,), counts (E,), gradients (E, h, w).
    """
    height, width = logits.shape
    offsets = neighbor_offsets(size, dilation)
    half, last, reach = len(offsets) // 2, len(offsets) - 1, dilation * (size // 2)
    # With a border on three sides every pixel has all neighbours of the second half of the kernel; pairs that leave the
    # map have no edge. Planes: logit, sigmoid, log(1 + exp(-|logit|)).
    planes = logits.new_zeros((3, height + reach, width + 2 * reach))
    inner = planes[:, :height, reach : reach + width]
    decay = torch.exp(-logits.abs())
    inner[0] = logits
    torch.sigmoid(logits, out=inner[1])
    torch.log1p(decay, out=inner[2])
    outgoing = edges.new_zeros((len(edges), height + reach, width + 2 * reach))
    top, bottom, left, right = box
    outgoing[:, top:bottom, left + reach : right + reach] = edges[:, top:bottom, left:right]

    windows = [(slice(dy, dy + height), slice(reach + dx, reach + dx + width)) for dy, dx in offsets[half:]]
    b, score_b, residual_b = torch.stack([planes[:, y, x] for y, x in windows], dim=1)
    a, score_a, residual_a = inner[:, None]
    total = a + b
    nll = torch.log1p(torch.exp(-total.abs())).neg_().add_(residual_a).add_(residual_b)
    nll += torch.where(a * b < 0, torch.minimum(a.abs(), b.abs()), 0)
    both = total.sigmoid_()
    here, there = score_a - both, score_b - both

    sums, counts = logits.new_empty((2, len(edges)))
    gradients = logits.new_zeros((len(edges), height + reach, width + 2 * reach))
    for e, bits in enumerate(outgoing):
        pairs = torch.stack(
            [((bits[:height, reach : reach + width] >> (half + k)) & 1) + ((bits[y, x] >> (last - half - k)) & 1)
             for k, (y, x) in enumerate(windows)]
        )  # fmt: skip
        weight = pairs.to(logits.dtype)
        counts[e] = weight.sum()
        sums[e] = torch.dot(weight.flatten(), nll.flatten())
        gradients[e, :height, reach : reach + width] = (weight * here).sum(0)
        for (y, x), slope in zip(windows, weight.mul_(there), strict=True):
            gradients[e, y, x] += slope
    return sums, counts, gradients[:, :height, reach : reach + width]
