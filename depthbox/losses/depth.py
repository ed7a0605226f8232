"""Instance depth loss: each instance predicts the pseudo depth of the scene inside its box (eq. 2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..ops.triton.support import is_available
from .crops import box_crops


def instance_depth_loss(scores: Tensor, depth: Tensor, image_index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Compute the mean of (P_depth - d)^2 over the cells of each instance's box (eq. 2).

    The paper sums over the box. The mean gives large and small objects the same weight.

    Args:
        scores: (N, 1, H, W) float in [0, 1], predicted depth after the sigmoid.
        depth: (B, H, W) float in [0, 1], pseudo depth on the mask grid.
        image_index: (N,) int64 in 0..B-1, image of each instance.
        rows, columns: (N, H) and (N, W) bool, the rows and columns of each box (see ``ops.box_extents``).

    Returns:
        (N,) in [0, 1], of the dtype of the scores; 0 for a box that covers no cell.

    Example:
        >>> import torch
        >>> scores, depth = torch.full((1, 1, 2, 3), 0.5), torch.tensor([[[0.0, 1.0, 0.5], [0.0, 0.5, 0.5]]])
        >>> rows, columns = torch.tensor([[True, False]]), torch.tensor([[False, True, True]])
        >>> instance_depth_loss(scores, depth, torch.tensor([0]), rows, columns).tolist()
        [0.125]
    """
    boxes = (rows[:, :, None] & columns[:, None, :]).to(scores.dtype)
    squares = torch.square(scores[:, 0] - depth.to(scores.dtype)[image_index])
    return (squares * boxes).sum((1, 2)) / boxes.sum((1, 2)).clamp(min=1)


def instance_depth_loss_from_logits(
    logits: Tensor, depth: Tensor, image_index: Tensor, rows: Tensor, columns: Tensor, triton: bool = True
) -> Tensor:
    """Compute ``instance_depth_loss(logits.sigmoid(), ...)``.

    On the CPU, only the cells inside the boxes are read, and saved for the backward pass.

    Args:
        logits: (N, 1, H, W) float32 or float64, before the sigmoid.
        depth, image_index, rows, columns: as in ``instance_depth_loss``.
        triton: use Triton kernels if available; the results are equal.

    Returns:
        (N,) in [0, 1], of the dtype of the logits; 0 for a box that covers no cell.
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
            n, y, x = crop.index
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
            part = total[:, 0][crop.index]
            torch.mul(slopes[start : start + part.numel()].view(part.shape), grad[crop.instance], out=part)
            start += part.numel()
        return total, None, None, None, None
