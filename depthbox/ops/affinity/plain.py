"""Affinity of all pairs of cells by their definition, with matrices of n x n numbers: for small grids."""

from __future__ import annotations

import torch
from torch import Tensor

from .segments import CellSegments


def affinity_matrix(features: Tensor, scale: float = 1.0) -> Tensor:
    """Compute the affinity of all pairs of cells, A = sigmoid(scale F^T F) (P2Seg; I2S).

    Args:
        features: (D, n) float.
        scale: factor of the inner products; 1 in the released code.

    Returns:
        (n, n) in (0, 1), symmetric, of the dtype of the features.
    """
    return (scale * (features.t() @ features)).sigmoid()


def propagate_densely(affinity: Tensor, values: Tensor, power: float = 1.0) -> Tensor:
    """Average the values of all cells i at each cell j with the weights A_ji^power.

    Args:
        affinity: (n, n) float in (0, 1).
        values: (C, n) float.
        power: Hadamard power beta.

    Returns:
        (C, n) of the dtype of the values.
    """
    weights = affinity if power == 1 else affinity**power
    return (values @ weights.t()) / weights.sum(1)


def same_segment(segments: CellSegments, background: str = "ignore") -> tuple[Tensor, Tensor]:
    """Compare the segments of all pairs of cells.

    Returns:
        positive (n, n) bool, True if a segment contains both cells; negative (n, n) bool, True if none does and the
        pair counts: with ``background`` "ignore", one of the cells belongs to a segment.
    """
    positive = torch.zeros((len(segments), len(segments)), dtype=torch.bool, device=segments.members.device)
    for here in segments.members.unbind(1):
        for there in segments.members.unbind(1):
            positive |= (here[:, None] == there[None]) & (here > 0)[:, None]
    negative = ~positive
    if background == "ignore":
        owned = segments.owned
        negative &= owned[:, None] | owned[None]
    return positive, negative


def dense_pair_means(affinity: Tensor, segments: CellSegments, background: str = "ignore") -> Tensor:
    """Compute sum_{Y=1} (1 - A) / (#{Y=1} + 1) and sum_{Y=0} A / (#{Y=0} + 1); zeros if no cell has a segment.

    Returns:
        (2,) of the dtype of the affinity.
    """
    if not bool(segments.owned.any()):
        return affinity.sum() * affinity.new_zeros(2)
    positive, negative = same_segment(segments, background)
    shortfall = ((1 - affinity) * positive).sum() / (positive.sum() + 1)
    return torch.stack((shortfall, (affinity * negative).sum() / (negative.sum() + 1)))
