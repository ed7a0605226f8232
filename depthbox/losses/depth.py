"""Instance depth loss: in its box, each instance predicts the depth of the scene (eq. 2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..ops.triton.support import is_available
from .crops import box_crops


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


def instance_depth_loss_from_logits(
    logits: Tensor, depth: Tensor, image_index: Tensor, rows: Tensor, columns: Tensor, triton: bool = True
) -> Tensor:
    """``instance_depth_loss(logits.sigmoid(), ...)``; on the CPU only the boxes are visited and kept for backward.

    Args:
        logits: (N, 1, H, W), before the sigmoid, float32 or float64; the other arguments as above.
        triton: use Triton kernels where they run; the results are equal.
    """
    if triton and is_available(logits.device):
        from ..ops.triton import depth as triton_depth

        if triton_depth.fits(logits):
            return triton_depth.instance_depth_loss(logits, depth, image_index, rows, columns)
    if logits.device.type != "cpu":
        return instance_depth_loss(logits.sigmoid(), depth, image_index, rows, columns)
    return _DepthInBoxes.apply(logits, depth.to(logits.dtype), image_index, rows, columns)


class _DepthInBoxes(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, depth, image_index, rows, columns):  # type: ignore[no-untyped-def]
        values, slopes, images = logits.new_zeros(len(logits)), [], image_index.tolist()
        crops = box_crops(rows, columns, 0)
        for crop in crops:
            n, y, x = crop.where
            scores = logits[n, 0, y, x].sigmoid()
            difference = scores - depth[images[n], y, x]
            values[n] = difference.square().mean()
            slopes.append((difference * (scores - scores.square()) * (2 / scores.numel())).flatten())
        ctx.crops, ctx.shape = crops, logits.shape
        ctx.save_for_backward(torch.cat(slopes) if slopes else logits.new_empty(0))
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (slopes,) = ctx.saved_tensors
        total, start = grad.new_zeros(ctx.shape), 0
        for crop in ctx.crops:
            part = total[:, 0][crop.where]
            torch.mul(slopes[start : start + part.numel()].view(part.shape), grad[crop.row], out=part)
            start += part.numel()
        return total, None, None, None, None
