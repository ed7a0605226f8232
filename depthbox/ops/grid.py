"""Maps of an image on the mask grid, of which cell o samples the input pixel s * o + s // 2."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cells_inside(
    grid: tuple[int, int], height: int, width: int, stride: int, device: torch.device | str | None = None
) -> Tensor:
    """Which cells of a grid sample a pixel of the image.

    Args:
        grid: (rows, columns) of cells.
        height, width: of the image without padding, pixels; smaller ones leave rows or columns out.
        stride: input pixels per cell.
        device: of the result.

    Returns:
        (rows, columns) bool.
    """
    y = torch.arange(grid[0], device=device)[:, None] * stride + stride // 2
    x = torch.arange(grid[1], device=device)[None, :] * stride + stride // 2
    return (y < height) & (x < width)


def depth_on_grid(depth: Tensor, padded: tuple[int, int], stride: int) -> Tensor:
    """Mean depth of each cell's pixels; beyond the image its border goes on.

    Args:
        depth: (1, h, w) in [0, 1].
        padded: (height, width) of the batch, at least (h, w).
        stride: input pixels per cell of the mask grid.

    Returns:
        (1, height / stride, width / stride) float32.
    """
    space = (0, padded[1] - depth.shape[2], 0, padded[0] - depth.shape[1])
    return F.avg_pool2d(F.pad(depth.float()[None], space, mode="replicate"), stride)[0]
