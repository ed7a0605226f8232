"""Pairwise loss: alike neighbours must get the same label (BoxInst; eq. 4 and 5 of the paper).

With logits a and b, P(same label) = s(a) s(b) + s(-a) s(-b), s the sigmoid, and

    -log P = softplus(a) + softplus(b) - softplus(a + b),    d/da = s(a) - s(a + b).

The value is computed as 1[ab < 0] min(|a|, |b|) + r(a) + r(b) - r(a + b) with r(x) = log(1 + exp(-|x|)), which does not
cancel for large logits.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    sums, counts = pairwise_losses(logits, [edges], image_index, rows, columns, size, dilation)
    return sums[0], counts[0]


def pairwise_losses(
    logits: Tensor,
    edge_sets: Sequence[Tensor],
    image_index: Tensor,
    rows: Tensor,
    columns: Tensor,
    size: int = 3,
    dilation: int = 2,
) -> tuple[Tensor, Tensor]:
    """``pairwise_loss`` of several sets of edges (colour, depth) in one pass: each pair's value is computed once.

    Args:
        edge_sets: E tensors as the ``edges`` of ``pairwise_loss``; the other arguments are its.

    Returns:
        sums (E, N), differentiable, and counts (E, N) of directed pairs.
    """
    return _PairwiseLosses.apply(logits, torch.stack(list(edge_sets)), image_index, rows, columns, size, dilation)


class _PairwiseLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, edges, image_index, rows, columns, size, dilation):  # type: ignore[no-untyped-def]
        offsets = neighbor_offsets(size, dilation)
        a = logits[:, 0]
        boxes = rows[:, :, None] & columns[:, None, :]
        outgoing = [torch.where(boxes, bits[image_index], 0) for bits in edges]
        gradients = torch.zeros((len(edges), *a.shape), dtype=a.dtype, device=a.device)
        sums, counts = a.new_zeros((2, len(edges), len(a)))
        for k in range(len(offsets) // 2, len(offsets)):
            here, there = _pair_slices(a.shape, *offsets[k])
            first, second = a[here], a[there]
            nll, both = _nll(first, second), (first + second).sigmoid_()
            slope_first, slope_second = first.sigmoid() - both, second.sigmoid() - both
            for e, bits in enumerate(outgoing):
                pairs = ((bits[here] >> k) & 1) + ((bits[there] >> (len(offsets) - 1 - k)) & 1)
                weight = pairs.to(a.dtype)
                sums[e] += (weight * nll).sum((1, 2))
                counts[e] += weight.sum((1, 2))
                gradients[e][here] += weight * slope_first
                gradients[e][there] += weight * slope_second
        ctx.save_for_backward(gradients)
        ctx.mark_non_differentiable(counts)
        return sums, counts

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_sums, _grad_counts):  # type: ignore[no-untyped-def]
        (gradients,) = ctx.saved_tensors
        total = gradients[0] * grad_sums[0, :, None, None]
        for gradient, factor in zip(gradients[1:], grad_sums[1:], strict=True):
            total.addcmul_(gradient, factor[:, None, None])
        return total[:, None], None, None, None, None, None, None


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
