"""Instance depth loss as Triton kernels, one forward and one backward, without host synchronization."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from .math import sigmoid, sigmoid_slope
from .support import ceil_div, make_maps_contiguous, next_power_of_two, on_device, view_as_bytes

_BLOCK_H, _BLOCK_W = 16, 64


def fits(logits: Tensor) -> bool:
    """Return whether the kernels support logits (N, 1, H, W): float32, not empty, H and W at most 4096."""
    return logits.dtype == torch.float32 and logits.numel() > 0 and max(logits.shape[2:]) <= 4096


def instance_depth_loss(logits: Tensor, depth: Tensor, image_index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Compute ``losses.instance_depth_loss_from_logits`` for logits that fit, saving only the arguments for backward.

    Args:
        logits: (N, 1, H, W) float32, before the sigmoid.
        depth: (B, H, W), any floating type, in [0, 1].
        image_index: (N,) int64, image of each instance.
        rows, columns: (N, H) and (N, W) bool, box of each instance.

    Returns:
        (N,) float32 in [0, 1].
    """
    return _InstanceDepthLoss.apply(logits, depth, image_index, rows, columns)


class _InstanceDepthLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, depth, image_index, rows, columns):  # type: ignore[no-untyped-def]
        logits, depth = make_maps_contiguous(logits), depth.contiguous()
        rows, columns = view_as_bytes(rows), view_as_bytes(columns)
        count, _, height, width = logits.shape
        blocks = ceil_div(height, _BLOCK_H)
        parts = logits.new_empty((count, blocks))
        with on_device(logits):
            forward_kernel[(blocks, count)](
                logits, depth, image_index, rows, columns, parts, logits.stride(0), height, width,
                next_power_of_two(height), next_power_of_two(width), _BLOCK_H, _BLOCK_W, num_warps=4,
            )  # fmt: skip
        ctx.save_for_backward(logits, depth, image_index, rows, columns)
        return parts.sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        logits, depth, image_index, rows, columns = ctx.saved_tensors
        count, _, height, width = logits.shape
        total = torch.empty_like(logits, memory_format=torch.contiguous_format)
        with on_device(logits):
            backward_kernel[(ceil_div(width, _BLOCK_W), ceil_div(height, _BLOCK_H), count)](
                logits, depth, image_index, rows, columns, grad, total, logits.stride(0), grad.stride(0), height,
                width, next_power_of_two(height), next_power_of_two(width), _BLOCK_H, _BLOCK_W, num_warps=4,
            )  # fmt: skip
        return total, None, None, None, None


@triton.jit
def forward_kernel(  # type: ignore[no-untyped-def]
    logits, depth, image_index, rows, columns, parts, map_stride, height, width,
    TALL: tl.constexpr, WIDE: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr
):  # fmt: skip
    """Compute the part of BLOCK_H rows in the loss of one instance; writes parts (N, T) for T blocks of rows."""
    block, n = tl.program_id(0), tl.program_id(1).to(tl.int64)
    y = block * BLOCK_H + tl.arange(0, BLOCK_H)
    rows, columns = rows + n * height, columns + n * width
    row = tl.load(rows + y, mask=y < height, other=0).to(tl.int32)
    total = tl.zeros((BLOCK_H, BLOCK_W), tl.float32)
    if tl.max(row, axis=0) > 0:
        image = tl.load(image_index + n) * height * width
        for left in range(0, width, BLOCK_W):
            x = left + tl.arange(0, BLOCK_W)
            column = tl.load(columns + x, mask=x < width, other=0).to(tl.int32)
            inside = (row > 0)[:, None] & (column > 0)[None, :]
            at = y[:, None] * width + x[None, :]
            scores = sigmoid(tl.load(logits + n * map_stride + at, mask=inside, other=0.0))
            difference = scores - tl.load(depth + image + at, mask=inside, other=0.0).to(tl.float32)
            total += tl.where(inside, difference * difference, 0.0)
    part = tl.sum(tl.sum(total, axis=1), axis=0) / _count_cells(rows, columns, height, width, TALL, WIDE)
    tl.store(parts + n * tl.num_programs(0) + block, part)


@triton.jit
def backward_kernel(  # type: ignore[no-untyped-def]
    logits, depth, image_index, rows, columns, grad, out, map_stride, grad_stride, height, width,
    TALL: tl.constexpr, WIDE: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr
):  # fmt: skip
    """Compute one tile of the gradient (N, H, W); the logits are read only in the box."""
    n = tl.program_id(2).to(tl.int64)
    y = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    x = tl.program_id(0) * BLOCK_W + tl.arange(0, BLOCK_W)
    rows, columns = rows + n * height, columns + n * width
    row = tl.load(rows + y, mask=y < height, other=0).to(tl.int32)
    column = tl.load(columns + x, mask=x < width, other=0).to(tl.int32)
    at = y[:, None] * width + x[None, :]
    total = tl.zeros((BLOCK_H, BLOCK_W), tl.float32)
    if (tl.max(row, axis=0) & tl.max(column, axis=0)) > 0:
        inside = (row > 0)[:, None] & (column > 0)[None, :]
        image = tl.load(image_index + n) * height * width
        a = tl.load(logits + n * map_stride + at, mask=inside, other=0.0)
        difference = sigmoid(a) - tl.load(depth + image + at, mask=inside, other=0.0).to(tl.float32)
        factor = tl.load(grad + n * grad_stride) * 2.0 / _count_cells(rows, columns, height, width, TALL, WIDE)
        total = tl.where(inside, factor * difference * sigmoid_slope(a), 0.0)
    tl.store(out + n * height * width + at, total, mask=(y < height)[:, None] & (x < width)[None, :])


@triton.jit
def _count_cells(rows, columns, height, width, TALL: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Count the cells of one box; at least 1, as the divisor of the mean."""
    y, x = tl.arange(0, TALL), tl.arange(0, WIDE)
    tall = tl.sum(tl.load(rows + y, mask=y < height, other=0).to(tl.float32), axis=0)
    wide = tl.sum(tl.load(columns + x, mask=x < width, other=0).to(tl.float32), axis=0)
    return tl.maximum(tall * wide, 1.0)
