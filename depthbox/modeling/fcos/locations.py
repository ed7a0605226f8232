"""Locations of the feature pyramid; FCOS predicts one object per location."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Locations:
    """Locations of all levels in one image, ordered by level, then row, then column.

    Attributes:
        xy: (P, 2) float32, centers of the cells in input pixels.
        stride: (P,) float32, input pixels per cell.
        level, row, column: (P,) int64.
        size_range: (P, 2) float32, smallest and largest max(l, t, r, b) that the location accepts, inclusive, pixels.
        strides, sizes: per level, on the host: pixels per cell, and (height, width) in cells.
    """

    xy: Tensor
    stride: Tensor
    level: Tensor
    row: Tensor
    column: Tensor
    size_range: Tensor
    strides: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.xy)


def level_locations(height: int, width: int, stride: int, device: torch.device | str | None = None) -> Tensor:
    """Compute the locations of one level: cell index * stride + stride // 2.

    Args:
        height, width: size of the level in cells.
        stride: input pixels per cell.
        device: device of the result.

    Returns:
        (height * width, 2) float32, (x, y) in input pixels, row-major.

    Example:
        >>> level_locations(1, 3, 8).tolist()
        [[4.0, 4.0], [12.0, 4.0], [20.0, 4.0]]
    """
    x = torch.arange(width, device=device, dtype=torch.float32) * stride + stride // 2
    y = torch.arange(height, device=device, dtype=torch.float32) * stride + stride // 2
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((grid_x.flatten(), grid_y.flatten()), dim=1)


def pyramid_locations(
    sizes: Sequence[tuple[int, int]],
    strides: Sequence[int],
    sizes_of_interest: Sequence[float],
    device: torch.device | str,
) -> Locations:
    """Compute the locations of all L levels.

    Args:
        sizes: (height, width) of each level in cells, finest first.
        strides: input pixels per cell of each level.
        sizes_of_interest: L - 1 bounds between the object sizes of the levels, in pixels.
        device: device of the tensors.
    """
    cells = [torch.arange(height * width, device=device) for height, width in sizes]
    widths = [width for _, width in sizes]

    def by_level(values: Sequence[float], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.cat([torch.full_like(c, value, dtype=dtype) for c, value in zip(cells, values, strict=True)])

    return Locations(
        xy=torch.cat([level_locations(h, w, s, device) for (h, w), s in zip(sizes, strides, strict=True)]),
        stride=by_level(strides),
        level=by_level(range(len(sizes)), torch.int64),
        row=torch.cat([cell // width for cell, width in zip(cells, widths, strict=True)]),
        column=torch.cat([cell % width for cell, width in zip(cells, widths, strict=True)]),
        size_range=torch.stack((by_level([-1, *sizes_of_interest]), by_level([*sizes_of_interest, 1e8])), dim=1),
        strides=tuple(strides),
        sizes=tuple((height, width) for height, width in sizes),
    )
