"""Boxes on the mask grid, by arithmetic on coordinates: no canvas is drawn.

Cell o of a grid with stride s samples the input pixel s * o + s // 2.
"""

from __future__ import annotations

import torch
from torch import Tensor


def box_extents(boxes: Tensor, height: int, width: int, stride: int) -> tuple[Tensor, Tensor]:
    """Which rows and columns of the mask grid lie in each box.

    A box covers the pixels trunc(y0) .. trunc(y1 + 1) - 1, columns alike (both ends inclusive).

    Args:
        boxes: (N, 4) xyxy, input pixels.
        height, width: the grid's size in cells.
        stride: input pixels per cell.

    Returns:
        rows (N, height) and columns (N, width), bool; both are empty where the box covers no cell.
    """
    low, high = boxes[:, :2].trunc(), (boxes[:, 2:] + 1).trunc() - 1
    x = torch.arange(width, device=boxes.device) * stride + stride // 2
    y = torch.arange(height, device=boxes.device) * stride + stride // 2
    columns = (x >= low[:, 0, None]) & (x <= high[:, 0, None])
    rows = (y >= low[:, 1, None]) & (y <= high[:, 1, None])
    return rows & columns.any(1, keepdim=True), columns & rows.any(1, keepdim=True)


def box_masks(boxes: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Filled boxes (N, height, width) bool on the mask grid; see ``box_extents``."""
    rows, columns = box_extents(boxes, height, width, stride)
    return rows[:, :, None] & columns[:, None, :]


def integer_box_centers(boxes: Tensor, height: int, width: int) -> Tensor:
    """Centre of mass (N, 2), (x, y), of the pixels that each box covers in a height x width image."""
    size = torch.tensor((width - 1, height - 1), dtype=boxes.dtype).to(boxes.device, non_blocking=True)
    low = boxes[:, :2].trunc().clamp(min=0)
    high = torch.minimum((boxes[:, 2:] + 1).trunc() - 1, size)
    return (low + high) / 2
