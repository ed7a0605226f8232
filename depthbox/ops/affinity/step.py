"""Affinity of all pairs of cells of an image: propagation of values and comparison with segments (P2Seg; I2S)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..precision import full_precision, without_autocast
from .plain import affinity_matrix, dense_pair_means, propagate_densely
from .segments import CellSegments

BACKGROUND_PAIRS = ("ignore", "negative")


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


def propagate(features: Tensor, values: Tensor, *, scale: float = 1.0, power: float = 1.0, rows: int = 512) -> Tensor:
    """Propagate values between cells of high affinity, P'_cj = sum_i A_ji^beta P_ci / sum_i A_ji^beta (P2Seg; I2S).

    Args:
        features: (D, n) float, features of the affinity A = sigmoid(scale F^T F).
        values: (C, n) float, for example class probabilities.
        scale: factor of the inner products.
        power: Hadamard power beta of the affinity.
        rows: rows of A that are computed together on a large grid.

    Returns:
        (C, n), float32 or wider, also under autocast. Columns of sum 1 keep their sum.

    Raises:
        ValueError: the shapes do not match, or the power is not positive.

    Example:
        >>> import torch
        >>> features = torch.tensor([[9.0, 9.0, -9.0]])  # cells 0 and 1 are similar
        >>> propagate(features, torch.tensor([[1.0, 0.0, 0.0]])).round(decimals=4).tolist()
        [[0.5, 0.5, 0.0]]
    """
    return propagate_and_compare(features, values, (), scale=scale, power=power, rows=rows).propagated


def propagate_and_compare(
    features: Tensor,
    values: Tensor | None,
    segment_sets: Sequence[CellSegments],
    *,
    scale: float = 1.0,
    power: float = 1.0,
    background: str = "ignore",
    rows: int = 512,
) -> AffinityResult:
    """Propagate values and compare the affinity with sets of segments in one pass over the pairs of cells.

    A pair is positive (Y = 1) if a segment contains both cells, otherwise negative (Y = 0).

    Args:
        features: (D, n) float, features of the affinity A = sigmoid(scale F^T F).
        values: (C, n) float, see ``propagate``; None for no propagation.
        segment_sets: L sets of segments of the n cells.
        scale, power, rows: as in ``propagate``; the power does not apply to the comparison.
        background: "ignore" leaves pairs out if neither cell belongs to a segment, "negative" counts them as negative.

    Returns:
        Record with propagated (C, n) and pair_means (L, 2). A set without an owned cell has the means 0.

    Raises:
        ValueError: the shapes do not match, or an option is not supported.
    """
    _check(features, values, segment_sets, power, background)
    with without_autocast(features.device):
        features = full_precision(features)
        values = features.new_zeros((0, features.shape[1])) if values is None else values.to(features.dtype)
        affinity = affinity_matrix(features, scale)
        means = [dense_pair_means(affinity, segments, background) for segments in segment_sets]
        pair_means = torch.stack(means) if means else features.new_zeros((0, 2))
        return AffinityResult(propagate_densely(affinity, values, power), pair_means)


def _check(
    features: Tensor, values: Tensor | None, segment_sets: Sequence[CellSegments], power: float, background: str
) -> None:
    if features.dim() != 2:
        raise ValueError(f"features must have the shape (D, n), got {tuple(features.shape)}")
    cells = features.shape[1]
    if values is not None and (values.dim() != 2 or values.shape[1] != cells):
        raise ValueError(f"values must have the shape (C, {cells}), got {tuple(values.shape)}")
    for segments in segment_sets:
        if len(segments) != cells:
            raise ValueError(f"segments of {len(segments)} cells do not match features of {cells} cells")
    if power <= 0:
        raise ValueError(f"the power of the affinity must be positive, got {power}")
    if background not in BACKGROUND_PAIRS:
        raise ValueError(f'background must be "ignore" or "negative", got {background!r}')
