"""Dice loss of logits as Triton kernels, two forward and one backward, without host synchronization."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from .math import sigmoid, sigmoid_slope
from .support import ceil_div, make_maps_contiguous, next_power_of_two, on_device, view_as_bytes

_BLOCK = 2048  # cells of one program


def fits(logits: Tensor) -> bool:
    """Return whether the kernels support logits (N, 1, H, W): float32, not empty."""
    return logits.dtype == torch.float32 and logits.numel() > 0


def dice_loss_from_logits(logits: Tensor, targets: Tensor, index: Tensor, eps: float) -> Tensor:
    """Compute ``losses.dice_loss_from_logits`` for logits that fit.

    The arguments and two numbers per instance are saved for the backward pass.

    Args:
        logits: (N, 1, H, W) float32, before the sigmoid.
        targets: (M, H, W) bool or any floating type, in [0, 1].
        index: (N,) int64, target of each instance.
        eps: as in ``losses.dice_loss``.

    Returns:
        (N,) float32 in [0, 1].
    """
    return _DiceLoss.apply(logits, targets, index, eps)


class _DiceLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, index, eps):  # type: ignore[no-untyped-def]
        logits = make_maps_contiguous(logits)
        targets = view_as_bytes(targets) if targets.dtype == torch.bool else targets.contiguous()
        count, cells = len(logits), logits[0].numel()
        blocks = ceil_div(cells, _BLOCK)
        parts, out = logits.new_empty((count, blocks, 3)), logits.new_empty((3, count))
        with on_device(logits):
            forward_kernel[(blocks, count)](logits, targets, index, parts, logits.stride(0), cells, _BLOCK, num_warps=4)
            reduce_kernel[(count,)](parts, out, blocks, count, eps, next_power_of_two(blocks), num_warps=1)
        ctx.save_for_backward(logits, targets, index, out[1:])
        return out[0]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        logits, targets, index, factors = ctx.saved_tensors
        count, cells = len(logits), logits[0].numel()
        total = torch.empty_like(logits, memory_format=torch.contiguous_format)
        with on_device(logits):
            backward_kernel[(ceil_div(cells, _BLOCK), count)](
                logits, targets, index, factors, grad, total, logits.stride(0), grad.stride(0), cells, count, _BLOCK,
                num_warps=4,
            )  # fmt: skip
        return total, None, None, None


@triton.jit
def forward_kernel(logits, targets, index, parts, map_stride, cells, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Sum x t, x^2 and t^2 of one instance over BLOCK cells; writes parts (N, T, 3) for T blocks."""
    block, n = tl.program_id(0), tl.program_id(1).to(tl.int64)
    at = block * BLOCK + tl.arange(0, BLOCK)
    scores = sigmoid(tl.load(logits + n * map_stride + at, mask=at < cells, other=float("-inf")))
    target = tl.load(targets + tl.load(index + n) * cells + at, mask=at < cells, other=0).to(tl.float32)
    part = parts + (n * tl.num_programs(0) + block) * 3
    tl.store(part, tl.sum(scores * target, axis=0))
    tl.store(part + 1, tl.sum(scores * scores, axis=0))
    tl.store(part + 2, tl.sum(target * target, axis=0))


@triton.jit
def reduce_kernel(parts, out, blocks, count, eps, BLOCKS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Reduce the partial sums of one instance; writes out (3, N).

    out[0] is the loss; its derivative by the score x is out[1] x + out[2] t.
    """
    n = tl.program_id(0).to(tl.int64)
    t = tl.arange(0, BLOCKS)
    part = parts + (n * blocks + t) * 3
    overlap = tl.sum(tl.load(part, mask=t < blocks, other=0.0), axis=0)
    norm = tl.sum(tl.load(part + 1, mask=t < blocks, other=0.0), axis=0)
    norm = norm + tl.sum(tl.load(part + 2, mask=t < blocks, other=0.0), axis=0) + eps
    tl.store(out + n, 1.0 - 2.0 * overlap / norm)
    tl.store(out + count + n, 4.0 * overlap / (norm * norm))
    tl.store(out + 2 * count + n, -2.0 / norm)


@triton.jit
def backward_kernel(  # type: ignore[no-untyped-def]
    logits, targets, index, factors, grad, out, map_stride, grad_stride, cells, count, BLOCK: tl.constexpr
):
    """Compute the gradient (N, H * W) in BLOCK cells."""
    n = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(logits + n * map_stride + at, mask=at < cells, other=0.0)
    target = tl.load(targets + tl.load(index + n) * cells + at, mask=at < cells, other=0).to(tl.float32)
    slope = tl.load(factors + n) * sigmoid(a) + tl.load(factors + count + n) * target
    upstream = tl.load(grad + n * grad_stride)
    tl.store(out + n * cells + at, upstream * slope * sigmoid_slope(a), mask=at < cells)
