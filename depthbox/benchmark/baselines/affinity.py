"""Propagation and affinity losses in the plain form: matrices of all pairs of cells, differentiated by autograd."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..measure import Results


def propagate_and_compare_densely(features: Tensor, values: Tensor, masks: Sequence[Tensor]) -> Results:
    """Propagate values by the affinity of all pairs of cells, and sum the affinity losses of sets of segments.

    Args:
        features: (D, n) float.
        values: (C, n) float.
        masks: for each set of segments (M, n) bool; pairs without a segment are left out.

    Returns:
        "propagated" (C, n) and "loss", a scalar.
    """
    affinity = (features.t() @ features).sigmoid()
    loss = features.new_zeros(())
    for mask in masks:
        one_hot = mask.to(features.dtype)
        positive = (one_hot.t() @ one_hot) > 0
        owned = mask.any(0)
        negative = ~positive & (owned[:, None] | owned)
        loss = loss + 0.5 * ((1 - affinity) * positive).sum() / (positive.sum() + 1)
        loss = loss + 0.5 * (affinity * negative).sum() / (negative.sum() + 1)
    return {"propagated": (values @ affinity.t()) / affinity.sum(1), "loss": loss}
