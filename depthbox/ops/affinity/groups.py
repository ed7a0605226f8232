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


@dataclass(frozen=True)
class CellGroups:
    """Groups of one set of segments within an image of n cells.

    Attributes:
        number: (n,) int64 in 0..G - 1, group of each cell.
        members: (G, S) int64, segments of each group, as in ``CellSegments``.
    """

    number: Tensor
    members: Tensor


def group_cells(segments: CellSegments) -> CellGroups:
    """Group the cells of an image by their segments."""
    first, *others = segments.members.unbind(1)
    number = _renumber(first)
    for column in others:
        number = _renumber(number * (column.max() + 1) + column if len(column) else number)
    count = int(number.max()) + 1 if len(number) else 0
    members = segments.members.new_zeros((count, segments.members.shape[1]))
    members[number] = segments.members  # equal for all cells of a group
    return CellGroups(number, members)


def sort_cells(sets: Sequence[CellGroups], cells: int, device: torch.device) -> Tensor:
    """Return an order (n,) int64 in which cells of the same groups are neighbors: blocks then have few groups."""
    key = torch.zeros(cells, dtype=torch.long, device=device)
    for groups in sets:
        key = _renumber(key * max(len(groups.members), 1) + groups.number)
    return key.argsort(stable=True)


def group_block(groups: CellGroups, block: Tensor, dtype: torch.dtype) -> BlockGroups:
    """Select the groups of the cells ``block`` (R,) int64."""
    present, index = groups.number[block].unique(return_inverse=True)
    sizes = torch.bincount(index, minlength=len(present))
    one_hot = torch.zeros((len(block), len(present)), dtype=dtype, device=block.device)
    one_hot.scatter_(1, index[:, None], 1)
    return BlockGroups(groups.members[present], index, one_hot, sizes.double())


def _renumber(numbers: Tensor) -> Tensor:
    """Replace (n,) integers by their ranks 0, 1, ... among the distinct ones."""
    return numbers.unique(return_inverse=True)[1]


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
