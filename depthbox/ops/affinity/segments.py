"""Segments of a coarse grid: the instances that each cell belongs to, in a form independent of their number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class CellSegments:
    """Segments of the cells of one image, n cells in row-major order.

    A cell may belong to several segments. 500 segments need no more memory than one.

    Attributes:
        members: (n, S) int64, the segments of each cell: distinct numbers from 1 on in ascending order, then zeros.
            Column 0 is 0 for a cell without a segment. S >= 1 is the largest number of segments of a cell.
    """

    members: Tensor

    @property
    def owned(self) -> Tensor:
        """Return (n,) bool, True for cells that belong to a segment."""
        return self.members[:, 0] > 0

    @property
    def shared(self) -> Tensor:
        """Return (n,) bool, True for cells that belong to several segments."""
        if self.members.shape[1] == 1:
            return torch.zeros_like(self.members[:, 0], dtype=torch.bool)
        return self.members[:, 1] > 0

    @property
    def labels(self) -> Tensor:
        """Return (n,) int64: the segment of a cell, 0 for none, -1 for several."""
        return torch.where(self.shared, -1, self.members[:, 0])

    def any_owned(self) -> bool:
        """Return True if a cell belongs to a segment."""
        return bool(self.owned.any())

    def __len__(self) -> int:
        return len(self.members)

    def masks(self, count: int) -> Tensor:
        """Return (count, n) bool, the cells of the segments 1..count."""
        masks = torch.zeros((count + 1, len(self)), dtype=torch.bool, device=self.members.device)
        cells = torch.arange(len(self), device=self.members.device)
        for column in self.members.unbind(1):
            masks[column, cells] = True
        return masks[1:]


def segments_at_stride(owner: Tensor, stride: int = 4) -> CellSegments:
    """Pool an owner map: a cell belongs to an instance if any of its pixels does (P2Seg; section of I2S).

    Args:
        owner: (H, W) integers, number of the instance from 1 on, 0 = none.
        stride: pixels per cell on each axis. Missing pixels of the last row and column of cells have no owner.

    Returns:
        Segments of ceil(H / stride) * ceil(W / stride) cells.

    Raises:
        ValueError: the map does not have two axes.

    Example:
        >>> import torch
        >>> segments_at_stride(torch.tensor([[1, 2, 0, 0], [1, 1, 0, 3]]), stride=2).members.tolist()
        [[1, 2], [3, 0]]
    """
    if owner.dim() != 2:
        raise ValueError(f"an owner map must have the shape (H, W), got {tuple(owner.shape)}")
    height, width = owner.shape
    padded = F.pad(owner.long(), (0, -width % stride, 0, -height % stride))
    rows, columns = padded.shape[0] // stride, padded.shape[1] // stride
    pixels = padded.reshape(rows, stride, columns, stride).transpose(1, 2).reshape(rows * columns, stride * stride)
    return _compact(pixels)


def segments_from_masks(masks: Tensor) -> CellSegments:
    """Convert one mask per segment to the compact form.

    Args:
        masks: (M, ...) bool, cells of each segment; segment m has the number m + 1.

    Returns:
        Segments of the n cells of the trailing axes, in row-major order.
    """
    masks = masks.flatten(1)
    most = int(masks.sum(0).max()) if masks.numel() else 0
    members = torch.zeros((masks.shape[1], max(most, 1)), dtype=torch.long, device=masks.device)
    cells, segments = masks.t().nonzero(as_tuple=True)  # sorted by cell
    slot = (masks.long().cumsum(0) - 1).t()[cells, segments]
    members[cells, slot] = segments + 1
    return CellSegments(members)


def _compact(numbers: Tensor) -> CellSegments:
    """Reduce (n, P) numbers with repetitions, 0 = none, to the distinct ones."""
    ordered = numbers.sort(1).values
    repeated = torch.zeros_like(ordered, dtype=torch.bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    last = torch.iinfo(torch.long).max
    packed = ordered.masked_fill(repeated | (ordered == 0), last).sort(1).values
    packed = packed.masked_fill(packed == last, 0)
    most = int((packed > 0).sum(1).max()) if len(packed) else 0
    return CellSegments(packed[:, : max(most, 1)].contiguous())
