"""Groups of cells that belong to the same segments: the labels of a tile of pairs as a small matrix.

Two cells of one group have the same relation to every other cell. Hence the labels of a tile of pairs are given by a
matrix of groups by groups, also if segments overlap, and no matrix of cells by cells is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .segments import CellSegments


@dataclass(frozen=True)
class BlockGroups:
    """Groups of one set of segments within a block of R cells.

    Attributes:
        members: (G, S) int64, segments of each group, as in ``CellSegments``.
        index: (R,) int64, group of each cell.
        one_hot: (R, G) float, 1 at the group of each cell.
        sizes: (G,) float64, number of cells of each group.
    """

    members: Tensor
    index: Tensor
    one_hot: Tensor
    sizes: Tensor


@dataclass(frozen=True)
class Relation:
    """Labels of the pairs of two lists of cells or groups.

    Attributes:
        positive: (G, H) bool, True if a segment contains both (Y = 1).
        negative: (G, H) bool, True if none does and the pair counts (Y = 0).
    """

    positive: Tensor
    negative: Tensor


def sort_cells(segment_sets: Sequence[CellSegments], cells: int, device: torch.device) -> Tensor:
    """Return an order (n,) int64 in which cells of the same segments are neighbors: blocks then have few groups."""
    key = torch.zeros(cells, dtype=torch.long, device=device)
    for segments in segment_sets:
        numbers = segments.members.unique(dim=0, return_inverse=True)[1]
        key = (key * (numbers.max() + 1 if cells else 1) + numbers).unique(return_inverse=True)[1]
    return key.argsort(stable=True)


def group_block(segments: CellSegments, block: Tensor, dtype: torch.dtype) -> BlockGroups:
    """Group the cells ``block`` (R,) int64 by their segments."""
    members, index = segments.members[block].unique(dim=0, return_inverse=True)
    sizes = torch.bincount(index, minlength=len(members))
    one_hot = torch.zeros((len(block), len(members)), dtype=dtype, device=block.device)
    one_hot.scatter_(1, index[:, None], 1)
    return BlockGroups(members, index, one_hot, sizes.double())


def relate(first: Tensor, second: Tensor, background: str) -> Relation:
    """Compare the segments of all pairs of cells or groups.

    Args:
        first, second: (G, S) and (H, T) int64, members as in ``CellSegments``.
        background: "ignore" leaves a pair out if neither belongs to a segment, "negative" counts it as negative.

    Returns:
        Record of two tensors (G, H).
    """
    positive = torch.zeros((len(first), len(second)), dtype=torch.bool, device=first.device)
    for here in first.unbind(1):
        for there in second.unbind(1):
            positive |= (here[:, None] == there[None]) & (here > 0)[:, None]
    negative = ~positive
    if background == "ignore":
        negative &= (first[:, :1] > 0) | (second[:, 0] > 0)
    return Relation(positive, negative)
