"""The dice loss of logits as Triton kernels: two forward, one backward; no host sync."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from .box import as_bytes, contiguous_maps
from .math import sigmoid, sigmoid_slope
from .support import next_power_of_two, on_device

_BLOCK = 2048  # cells of a program


def fits(logits: Tensor) -> bool:
    """Whether the kernels take this: float32, with a cell at all."""
    return logits.dtype == torch.float32 and logits.numel() > 0


def dice_loss_from_logits(logits: Tensor, targets: Tensor, index: Tensor, eps: float) -> Tensor:
    """``losses.dice_loss_from_logits`` of what ``fits``; kept is what is given and two numbers a row."""
    return _DiceFromLogits.apply(logits, targets, index, eps)


class _DiceFromLogits(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, index, eps):  # type: ignore[no-untyped-def]
        logits = contiguous_maps(logits)
        targets = as_bytes(targets) if targets.dtype == torch.bool else targets.contiguous()
        count, cells = len(logits), logits[0].numel()
        blocks = -(-cells // _BLOCK)
        parts, out = logits.new_empty((count, blocks, 3)), logits.new_empty((3, count))
        with on_device(logits):
            forward_kernel[(blocks, count)](logits, targets, index, parts, logits.stride(0), cells, _BLOCK, num_warps=4)
            finish_kernel[(count,)](parts, out, blocks, count, eps, next_power_of_two(blocks), num_warps=1)
        ctx.save_for_backward(logits, targets, index, out[1:])
        return out[0]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        logits, targets, index, factors = ctx.saved_tensors
        count, cells = len(logits), logits[0].numel()
        total = torch.empty_like(logits, memory_format=torch.contiguous_format)
        with on_device(logits):
            backward_kernel[(-(-cells // _BLOCK), count)](
                logits, targets, index, factors, grad, total, logits.stride(0), grad.stride(0), cells, count, _BLOCK,
                num_warps=4,
            )  # fmt: skip
        return total, None, None, None


@triton.jit
def forward_kernel(logits, targets, index, parts, row_stride, cells, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Sums of x t, x^2 and t^2 of one row over BLOCK cells, parts (N, T, 3)."""
    block, n = tl.program_id(0), tl.program_id(1).to(tl.int64)
    at = block * BLOCK + tl.arange(0, BLOCK)
    scores = sigmoid(tl.load(logits + n * row_stride + at, mask=at < cells, other=float("-inf")))
    truth = tl.load(targets + tl.load(index + n) * cells + at, mask=at < cells, other=0).to(tl.float32)
    part = parts + (n * tl.num_programs(0) + block) * 3
    tl.store(part, tl.sum(scores * truth, axis=0))
    tl.store(part + 1, tl.sum(scores * scores, axis=0))
    tl.store(part + 2, tl.sum(truth * truth, axis=0))


@triton.jit
def finish_kernel(parts, out, blocks, count, eps, BLOCKS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Loss of one row, and what its derivative by the score x adds up of: out[1] x + out[2] t."""
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
    logits, targets, index, factors, grad, out, row_stride, grad_stride, cells, count, BLOCK: tl.constexpr
):
    """Gradient (N, H * W) in BLOCK cells."""
    n = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(logits + n * row_stride + at, mask=at < cells, other=0.0)
    truth = tl.load(targets + tl.load(index + n) * cells + at, mask=at < cells, other=0).to(tl.float32)
    slope = tl.load(factors + n) * sigmoid(a) + tl.load(factors + count + n) * truth
    upstream = tl.load(grad + n * grad_stride)
    tl.store(out + n * cells + at, upstream * slope * sigmoid_slope(a), mask=at < cells)
