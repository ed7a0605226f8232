"""Pairwise loss of K + 1 classes: similar neighbors must have the same class (P2Seg; class map from points)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.edges import neighbor_offsets, pair_slices


@dataclass(frozen=True)
class ClassPairSums:
    """Sums of the class pairwise loss, to be divided by the number of pairs of all images or processes.

    Attributes:
        total: (B,), sum over the similar pairs of each image, differentiable.
        count: (B,) of the same dtype, number of directed similar pairs.
    """

    total: Tensor
    count: Tensor


def class_pairwise_sums(log_probabilities: Tensor, edges: Tensor, size: int = 3, dilation: int = 2) -> ClassPairSums:
    """Sum -log sum_c P_c(i) P_c(j) over the similar pairs (i, j) of each image, and count the pairs.

    With two classes this is -log P(same label) of BoxInst, see ``losses.pairwise``. Each directed edge counts once.

    Args:
        log_probabilities: (B, C, H, W) float, logarithms of class probabilities; half precision becomes float32.
        edges: (B, H, W) packed directed edges of similar pairs, see ``ops.pack_edges``.
        size, dilation: kernel of neighbors of ``edges``.

    Returns:
        Record of two tensors (B,), float32 or wider.

    Raises:
        ValueError: the shapes do not match, or the kernel is not supported.
    """
    if log_probabilities.dim() != 4 or edges.shape != log_probabilities[:, 0].shape:
        shapes = tuple(log_probabilities.shape), tuple(edges.shape)
        raise ValueError("log_probabilities must be (B, C, H, W), edges (B, H, W); got {} and {}".format(*shapes))
    values = log_probabilities.float() if log_probabilities.dtype.itemsize < 4 else log_probabilities
    offsets = neighbor_offsets(size, dilation)
    total, count = values.new_zeros(2, len(values)).unbind(0)
    for k in range(len(offsets) // 2, len(offsets)):  # the opposite neighbors are the same unordered pairs
        here, there = pair_slices(values.shape[2], values.shape[3], *offsets[k])
        pairs = ((edges[here] >> k) & 1) + ((edges[there] >> (len(offsets) - 1 - k)) & 1)
        nll = -torch.logsumexp(values[here] + values[there], dim=1)
        total = total + (pairs * nll).sum((1, 2))
        count = count + pairs.sum((1, 2))
    return ClassPairSums(total, count)


def class_pairwise_loss(log_probabilities: Tensor, edges: Tensor, size: int = 3, dilation: int = 2) -> Tensor:
    """Compute the mean of -log sum_c P_c(i) P_c(j) over the similar pairs of a batch.

    Args:
        log_probabilities, edges, size, dilation: as in ``class_pairwise_sums``.

    Returns:
        0-dim >= 0; 0 with zero gradients if no pair is similar.

    Raises:
        ValueError: the shapes do not match, or the kernel is not supported.

    Example:
        >>> import torch
        >>> logits = torch.zeros(1, 2, 1, 2)  # two classes of probability 1/2, two pixels
        >>> edges = torch.tensor([[[16, 8]]], dtype=torch.uint8)  # both pixels are similar
        >>> round(float(class_pairwise_loss(logits.log_softmax(1), edges, size=3, dilation=1)), 4)  # ln(2)
        0.6931
    """
    sums = class_pairwise_sums(log_probabilities, edges, size, dilation)
    return sums.total.sum() / sums.count.sum().clamp(min=1)
