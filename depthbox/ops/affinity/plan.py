"""Division of the pairs of cells into square tiles, with the groups of the cells of each tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

from torch import Tensor

from .groups import BlockGroups, Relation, group_block, group_cells, relate, sort_cells
from .segments import CellSegments

_DEVICE_FACTOR = 8  # few launches matter more than the cache there


@dataclass(frozen=True)
class Plan:
    """Tiles of an image and the groups of their cells.

    Attributes:
        order: (n,) int64, cells in the order of the tiles.
        blocks: slices of this order.
        groups: for each block, the groups of each of the L sets of segments.
        scale, power: as in ``propagate_and_compare``.
        backgrounds: for each set, "ignore" or "negative" for pairs without a segment, as in ``propagate_and_compare``.
    """

    order: Tensor
    blocks: list[slice]
    groups: list[list[BlockGroups]]
    scale: float
    power: float
    backgrounds: list[str]

    @property
    def sets(self) -> int:
        """Return the number of sets of segments L."""
        return len(self.backgrounds)

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Yield the pairs of blocks (r, c) with r <= c."""
        yield from combinations_with_replacement(range(len(self.blocks)), 2)

    def relations(self, r: int, c: int) -> list[Relation]:
        """Return the labels of the pairs of groups of two blocks, for each set of segments."""
        pairs = zip(self.groups[r], self.groups[c], self.backgrounds, strict=True)
        return [relate(first.members, second.members, background) for first, second, background in pairs]


def make_plan(
    segment_sets: Sequence[CellSegments],
    features: Tensor,
    *,
    scale: float,
    power: float,
    background: str,
    rows: int,
) -> Plan:
    """Sort the cells of (D, n) features by their segments and divide them into blocks.

    A block has ``rows`` cells on the CPU, whose cache then contains a tile, and eight times as many on other devices.
    """
    rows = rows if features.device.type == "cpu" else _DEVICE_FACTOR * rows
    sets = [group_cells(segments) for segments in segment_sets]
    order = sort_cells(sets, features.shape[1], features.device)
    blocks = [slice(start, min(start + rows, len(order))) for start in range(0, len(order), rows)]
    groups = [[group_block(cells, order[b], features.dtype) for cells in sets] for b in blocks]
    backgrounds = [background if segments.any_owned() else "ignore" for segments in segment_sets]  # no pair: means of 0
    return Plan(order, blocks, groups, scale, power, backgrounds)
