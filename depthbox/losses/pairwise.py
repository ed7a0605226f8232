"""Pairwise loss: similar neighbors must have the same label (BoxInst; eq. 4 and 5 of the paper).

For logits a and b, P(same label) = s(a) s(b) + s(-a) s(-b) with the sigmoid s, and

    -log P = softplus(a) + softplus(b) - softplus(a + b),    d/da = s(a) - s(a + b).

The value is computed as 1[ab < 0] min(|a|, |b|) + r(a) + r(b) - r(a + b) with r(x) = log(1 + exp(-|x|)), which does not
cancel for large logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..ops.edges import neighbor_offsets, pair_slices, shift


def pairwise_nll(logits: Tensor, size: int = 3, dilation: int = 2) -> Tensor:
    """Compute -log P(same label) of each pixel and each of its neighbors (BoxInst; eq. 5): the readable definition.

    Args:
        logits: (N, 1, H, W) float, before the sigmoid.
        size, dilation: kernel of neighbors, see ``ops.neighbor_offsets``.

    Returns:
        (N, size * size - 1, H, W) of the same dtype, >= 0; exactly 0 for neighbors outside the map.

    Raises:
        ValueError: the kernel is not supported.
    """
    a = widen(logits)[:, 0]
    inside = torch.ones_like(a[:1])
    terms = []
    for dy, dx in neighbor_offsets(size, dilation):
        b = shift(a, dy, dx)
        smooth = F.softplus(a) + F.softplus(b) - F.softplus(a + b)  # has the right gradient, also at a = 0
        terms.append((smooth + (_nll(a, b) - smooth).detach()) * shift(inside, dy, dx))
    return torch.stack(terms, dim=1).to(logits.dtype)


def widen(logits: Tensor) -> Tensor:
    """Convert half precision to float32, because sums of pairs overflow there; other tensors are unchanged.

    Args:
        logits: floating-point tensor of any shape.
    """
    return logits.float() if logits.dtype.itemsize < 4 else logits


def pairwise_loss(
    logits: Tensor,
    edges: Tensor,
    image_index: Tensor,
    rows: Tensor,
    columns: Tensor,
    size: int = 3,
    dilation: int = 2,
) -> tuple[Tensor, Tensor]:
    """Sum -log P(same label) of each instance over its similar pairs, and count the pairs (BoxInst; eq. 4 and 5).

    A pair counts if its center pixel lies in the box. The result equals a masked sum of ``pairwise_nll``, but each
    unordered pair is visited once. The forward pass computes the gradient, and saves only one map per instance.

    Args:
        logits: (N, 1, H, W) float, before the sigmoid; half precision is converted to float32.
        edges: (B, H, W) packed directed edges of similar pairs (see ``ops.pack_edges``).
        image_index: (N,) int64 in 0..B-1, image of each instance.
        rows, columns: (N, H) and (N, W) bool, the rows and columns of each box (see ``ops.box_extents``).
        size, dilation: kernel of neighbors of ``edges``.

    Returns:
        sums (N,), differentiable, and counts (N,) of directed pairs, both of the dtype of the logits, at least float32.

    Raises:
        ValueError: the kernel is not supported.

    Example:
        >>> import torch
        >>> logits = torch.zeros(1, 1, 1, 2)  # P(same label) = 1/2
        >>> edges = torch.tensor([[[16, 8]]], dtype=torch.uint8)  # both pixels are similar
        >>> rows, columns = torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool)
        >>> sums, counts = pairwise_loss(logits, edges, torch.tensor([0]), rows, columns, size=3, dilation=1)
        >>> [round(value, 4) for value in (sums / counts).tolist()], counts.tolist()  # ln(2)
        ([0.6931], [2.0])
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
    """Compute ``pairwise_loss`` of several edge sets (color, depth) in one pass: the value of each pair is shared.

    Args:
        edge_sets: E tensors (B, H, W) of packed directed edges.
        logits, image_index, rows, columns, size, dilation: as in ``pairwise_loss``.

    Returns:
        sums (E, N), differentiable, and counts (E, N) of directed pairs.
    """
    return _PairwiseLosses.apply(
        widen(logits), torch.stack(list(edge_sets)), image_index, rows, columns, size, dilation
    )


class _PairTerms(NamedTuple):
    """-log P(same label) of pairs, and its derivatives by the logits of both pixels."""

    nll: Tensor
    slope_here: Tensor
    slope_there: Tensor


class _PairwiseLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, edges, image_index, rows, columns, size, dilation):  # type: ignore[no-untyped-def]
        offsets, values = neighbor_offsets(size, dilation), logits[:, 0]
        boxes = rows[:, :, None] & columns[:, None, :]
        outgoing = [torch.where(boxes, bits[image_index], 0) for bits in edges]
        gradients = torch.zeros((len(edges), *values.shape), dtype=values.dtype, device=values.device)
        sums, counts = values.new_zeros((2, len(edges), len(values)))
        for k in range(len(offsets) // 2, len(offsets)):
            here, there = pair_slices(values.shape[1], values.shape[2], *offsets[k])
            terms = _pair_terms(values[here], values[there])
            for e, bits in enumerate(outgoing):
                pairs = ((bits[here] >> k) & 1) + ((bits[there] >> (len(offsets) - 1 - k)) & 1)
                weight = pairs.to(values.dtype)
                sums[e] += (weight * terms.nll).sum((1, 2))
                counts[e] += weight.sum((1, 2))
                gradients[e][here] += weight * terms.slope_here
                gradients[e][there] += weight * terms.slope_there
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


def _pair_terms(a: Tensor, b: Tensor) -> _PairTerms:
    nll, both = _nll(a, b), (a + b).sigmoid_()
    return _PairTerms(nll, a.sigmoid() - both, b.sigmoid() - both)


def _nll(a: Tensor, b: Tensor) -> Tensor:
    opposite = torch.where(a * b < 0, torch.minimum(a.abs(), b.abs()), 0)
    return opposite + _residual(a) + _residual(b) - _residual(a + b)


def _residual(x: Tensor) -> Tensor:
    return torch.log1p(torch.exp(-x.abs()))
