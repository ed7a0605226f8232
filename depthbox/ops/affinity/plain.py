"""Affinity of all pairs of cells by its definition, with matrices of n x n numbers: for small grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..precision import full_precision, without_autocast
from .groups import relate
from .segments import CellSegments


@dataclass(frozen=True)
class AffinityResult:
    """Propagated values and pair means of one image.

    Attributes:
        propagated: (C, n), differentiable; (0, n) if there are no values.
        pair_means: (L, 2), differentiable: for each set of segments sum_{Y=1} (1 - A) / (#{Y=1} + 1) and
            sum_{Y=0} A / (#{Y=0} + 1), both in [0, 1).
    """

    propagated: Tensor
    pair_means: Tensor


def run_plain(
    features: Tensor,
    values: Tensor,
    segment_sets: Sequence[CellSegments],
    *,
    scale: float,
    power: float,
    background: str,
) -> AffinityResult:
    """Propagate values and compute pair means by their definitions.

    Args:
        features: (D, n) float32 or float64.
        values: (C, n) of the same dtype.
        segment_sets: L sets of segments of the n cells.
        scale, power, background: as in ``propagate_and_compare``.
    """
    affinity = affinity_matrix(features, scale)
    means = [dense_pair_means(affinity, segments, background) for segments in segment_sets]
    return AffinityResult(
        propagate_densely(affinity, values, power), torch.stack(means) if means else features.new_zeros((0, 2))
    )


def affinity_matrix(features: Tensor, scale: float = 1.0) -> Tensor:
    """Compute the affinity of all pairs of cells, A = sigmoid(scale F^T F) (P2Seg; I2S).

    Args:
        features: (D, n) float.
        scale: factor of the inner products; 1 in the released code.

    Returns:
        (n, n) in (0, 1), symmetric, of the dtype of the features.
    """
    return (scale * (features.t() @ features)).sigmoid()


@torch.no_grad()
def saturated_share(features: Tensor, scale: float = 1.0, cells: int = 256) -> Tensor:
    """Estimate the share of pairs whose affinity has nearly no gradient, A (1 - A) < 0.01.

    Args:
        features: (D, n) float, n >= 1.
        scale: as in ``affinity_matrix``.
        cells: number of evenly spaced cells whose pairs are compared.

    Returns:
        0-dim float32 in [0, 1].
    """
    index = torch.linspace(0, features.shape[1] - 1, min(cells, features.shape[1]), device=features.device).long()
    with without_autocast(features.device):
        affinity = affinity_matrix(full_precision(features)[:, index], scale)
    return (affinity * (1 - affinity) < 0.01).float().mean()


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


def dense_pair_means(affinity: Tensor, segments: CellSegments, background: str = "ignore") -> Tensor:
    """Compute sum_{Y=1} (1 - A) / (#{Y=1} + 1) and sum_{Y=0} A / (#{Y=0} + 1); zeros if no cell has a segment.

    Args:
        affinity: (n, n) float in (0, 1).
        segments: segments of the n cells.
        background: as in ``propagate_and_compare``.

    Returns:
        (2,) of the dtype of the affinity.
    """
    if not segments.any_owned():
        return affinity.sum() * affinity.new_zeros(2)
    pairs = relate(segments.members, segments.members, background)
    shortfall = ((1 - affinity) * pairs.positive).sum() / (pairs.positive.sum() + 1)
    return torch.stack((shortfall, (affinity * pairs.negative).sum() / (pairs.negative.sum() + 1)))
