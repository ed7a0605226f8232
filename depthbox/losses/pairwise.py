"""Pairwise loss: alike neighbours must get the same label (BoxInst; eq. 4 and 5 of the paper).

With logits a and b, P(same label) = s(a) s(b) + s(-a) s(-b), s the sigmoid, and

    -log P = softplus(a) + softplus(b) - softplus(a + b),    d/da = s(a) - s(a + b).

The value is computed as 1[ab < 0] min(|a|, |b|) + r(a) + r(b) - r(a + b) with r(x) = log(1 + exp(-|x|)), which does not
cancel for large logits.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..ops.edges import neighbor_offsets, shift


def pairwise_nll(logits: Tensor, size: int = 3, dilation: int = 2) -> Tensor:
    """-log P(same label) of every pixel and each of its neighbours, dense: the readable definition.

    Args:
        logits: (N, 1, H, W), before the sigmoid.
        size, dilation: the kernel of neighbours.

    Returns:
        (N, size * size - 1, H, W), >= 0; exactly 0 where the neighbour is outside the map.
    """
    a = logits[:, 0]
    inside = torch.ones_like(a[:1])
    terms = []
    for dy, dx in neighbor_offsets(size, dilation):
        b = shift(a, dy, dx)
        smooth = F.softplus(a) + F.softplus(b) - F.softplus(a + b)  # carries the gradient, also at a = 0
        terms.append((smooth + (_nll(a, b) - smooth).detach()) * shift(inside, dy, dx))
    return torch.stack(terms, dim=1)


def pairwise_loss(
    logits: Tensor,
    edges: Tensor,
    image_index: Tensor,
    rows: Tensor,
    columns: Tensor,
    size: int = 3,
    dilation: int = 2,
) -> tuple[Tensor, Tensor]:
    """Sum of -log P(same label) over each row's like pairs whose centre pixel is in its box, and their number.

    The same as masking and summing ``pairwise_nll``, but each unordered pair is visited once and the gradient is
    written in the forward pass, so that nothing but one map per row is kept for the backward pass.

    Args:
        logits: (N, 1, H, W), before the sigmoid, float32 or float64 (sums overflow in half precision).
        edges: (B, H, W) packed directed edges of like neighbours (``ops.pack_edges``).
        image_index: (N,) int64, image of each row.
        rows, columns: (N, H) and (N, W) bool, the box of each row (``ops.box_extents``).
        size, dilation: the kernel that ``edges`` was made with.

    Returns:
        sums (N,), differentiable, and counts (N,) of directed pairs.
    """
    return _PairwiseLoss.apply(logits, edges, image_index, rows, columns, size, dilation)


class _PairwiseLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, edges, image_index, rows, columns, size, dilation):  # type: ignore[no-untyped-def]
        offsets = neighbor_offsets(size, dilation)
        a = logits[:, 0]
        boxes = rows[:, :, None] & columns[:, None, :]
        outgoing = torch.where(boxes, edges[image_index], 0)
        gradient = torch.zeros_like(a)
        sums, counts = a.new_zeros(len(a)), a.new_zeros(len(a))
        for k in range(len(offsets) // 2, len(offsets)):
            here, there = _pair_slices(a.shape, *offsets[k])
            weight = ((outgoing[here] >> k) & 1) + ((outgoing[there] >> (len(offsets) - 1 - k)) & 1)
            weight = weight.to(a.dtype)
            first, second = a[here], a[there]
            sums += (weight * _nll(first, second)).sum((1, 2))
            counts += weight.sum((1, 2))
            both = (first + second).sigmoid_()
            gradient[here] += weight * (first.sigmoid() - both)
            gradient[there] += weight * (second.sigmoid() - both)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(counts)
        return sums, counts

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_sums, _grad_counts):  # type: ignore[no-untyped-def]
        (gradient,) = ctx.saved_tensors
        return (gradient * grad_sums[:, None, None])[:, None], None, None, None, None, None, None


def _nll(a: Tensor, b: Tensor) -> Tensor:
    opposite = torch.where(a * b < 0, torch.minimum(a.abs(), b.abs()), 0)
    return opposite + _residual(a) + _residual(b) - _residual(a + b)


def _residual(x: Tensor) -> Tensor:
    return torch.log1p(torch.exp(-x.abs()))


def _pair_slices(shape: torch.Size, dy: int, dx: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of the pixels that have the neighbour (dy >= 0, dx) inside the map, and of those neighbours."""
    height, width = shape[-2:]
    here = (
        slice(None),
        slice(0, max(height - dy, 0)),
        slice(max(-dx, 0), max(width - max(dx, 0), max(-dx, 0))),
    )
    there = (
        slice(None),
        slice(min(dy, height), height),
        slice(min(max(dx, 0), width), max(width + min(dx, 0), 0)),
    )
    return here, there
