"""Instance depth loss: in its box, each instance predicts the depth of the scene (eq. 2)."""

from __future__ import annotations

import torch
from torch import Tensor


def instance_depth_loss(scores: Tensor, depth: Tensor, image_index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Mean squared difference between predicted and pseudo depth over the cells of each row's box (eq. 2).

    The paper sums over the box; the mean keeps large objects from outweighing small ones.

    Args:
        scores: (N, 1, H, W) predicted depth in [0, 1], after the sigmoid.
        depth: (B, H, W) pseudo depth in [0, 1].
        image_index: (N,) int64, image of each row.
        rows, columns: (N, H) and (N, W) bool, the box of each row (``ops.box_extents``).

    Returns:
        (N,) in [0, 1]; 0 where the box covers no cell.
    """
    boxes = (rows[:, :, None] & columns[:, None, :]).to(scores.dtype)
    squares = torch.square(scores[:, 0] - depth.to(scores.dtype)[image_index])
    return (squares * boxes).sum((1, 2)) / boxes.sum((1, 2)).clamp(min=1)
