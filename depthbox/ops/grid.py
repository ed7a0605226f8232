"""Boxes and image maps on the mask grid, in closed form: no full-size canvas is filled.

Cell o of a grid with stride s samples the input pixel s * o + s // 2. The mask grid has H rows and W columns.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def box_extents(boxes: Tensor, height: int, width: int, stride: int) -> tuple[Tensor, Tensor]:
    """Return the rows and the columns of the mask grid that lie in each box.

    A box covers the pixel columns trunc(x0) .. trunc(x1 + 1) - 1, both ends inclusive, and the pixel rows likewise.

    Args:
        boxes: (N, 4) float, xyxy in input pixels.
        height, width: number of rows and columns of the mask grid.
        stride: input pixels per cell.

    Returns:
        rows (N, height) and columns (N, width), bool. Both are False everywhere if the box covers no cell.

    Example:
        >>> import torch
        >>> rows, columns = box_extents(torch.tensor([[4.0, 0.0, 11.0, 7.0]]), height=3, width=4, stride=4)
        >>> rows.tolist(), columns.tolist()
        ([[True, True, False]], [[False, True, True, False]])
    """
    low, high = boxes[:, :2].trunc(), (boxes[:, 2:] + 1).trunc() - 1
    x = torch.arange(width, device=boxes.device) * stride + stride // 2
    y = torch.arange(height, device=boxes.device) * stride + stride // 2
    columns = (x >= low[:, 0, None]) & (x <= high[:, 0, None])
    rows = (y >= low[:, 1, None]) & (y <= high[:, 1, None])
    return rows & columns.any(1, keepdim=True), columns & rows.any(1, keepdim=True)


def box_masks(boxes: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Return the filled boxes on the mask grid.

    Args:
        boxes, height, width, stride: as in ``box_extents``.

    Returns:
        (N, height, width) bool.
    """
    rows, columns = box_extents(boxes, height, width, stride)
    return rows[:, :, None] & columns[:, None, :]


def integer_box_centers(boxes: Tensor, height: int, width: int) -> Tensor:
    """Return the center of mass of the pixels that each box covers.

    Args:
        boxes: (N, 4) float, xyxy in pixels.
        height, width: size of the image in pixels; pixels outside do not count.

    Returns:
        (N, 2) of the same dtype, (x, y) in pixels.
    """
    size = torch.tensor((width - 1, height - 1), dtype=boxes.dtype).to(boxes.device, non_blocking=True)
    low = boxes[:, :2].trunc().clamp(min=0)
    high = torch.minimum((boxes[:, 2:] + 1).trunc() - 1, size)
    return (low + high) / 2


def paired_iou(first: Tensor, second: Tensor) -> Tensor:
    """Compute the IoU of corresponding boxes.

    Args:
        first, second: (N, 4) float, xyxy with x0 <= x1 and y0 <= y1.

    Returns:
        (N,) in [0, 1]; 0 for a pair of boxes without area.

    Raises:
        ValueError: the shapes differ or are not (N, 4).

    Example:
        >>> import torch
        >>> paired_iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 2.0, 1.0]])).tolist()
        [0.5]
    """
    if first.shape != second.shape or first.dim() != 2 or first.shape[1] != 4:
        raise ValueError(
            f"paired_iou requires two tensors of one shape (N, 4), got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    sides = torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])
    intersection = sides.clamp(min=0).prod(1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (first, second)]
    return intersection / (areas[0] + areas[1] - intersection).clamp(min=1e-6)


def cells_inside(
    grid: tuple[int, int], height: int, width: int, stride: int, device: torch.device | str | None = None
) -> Tensor:
    """Return the cells of a grid that sample a pixel of the image.

    Args:
        grid: (rows, columns), number of cells on each axis.
        height, width: size of the image without padding, in pixels. A smaller size excludes rows or columns.
        stride: input pixels per cell.
        device: device of the result.

    Returns:
        (rows, columns) bool.
    """
    y = torch.arange(grid[0], device=device)[:, None] * stride + stride // 2
    x = torch.arange(grid[1], device=device)[None, :] * stride + stride // 2
    return (y < height) & (x < width)


def depth_on_grid(depth: Tensor, padded: tuple[int, int], stride: int) -> Tensor:
    """Average a depth map over the pixels of each cell, with the border values replicated into the padding.

    Args:
        depth: (1, h, w), any floating type, in [0, 1].
        padded: (height, width) of the batch in pixels, at least (h, w).
        stride: input pixels per cell of the mask grid.

    Returns:
        (1, height // stride, width // stride) float32 in [0, 1].
    """
    space = (0, padded[1] - depth.shape[2], 0, padded[0] - depth.shape[1])
    return F.avg_pool2d(F.pad(depth.float()[None], space, mode="replicate"), stride)[0]
