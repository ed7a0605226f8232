"""Comparison of the affinity of all pairs of cells, on a small and on a large grid."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...losses import affinity_losses
from ...ops.affinity import propagate_and_compare, segments_at_stride
from ..baselines.affinity import propagate_and_compare_densely
from ..comparison import Comparison, Options
from ..measure import Pass, Results

_CELLS, _QUICK_CELLS = (52, 104), (6,)
_FEATURES, _CHANNELS, _OBJECTS, _STRIDE = 64, 21, 10, 4
_MATRICES = 10  # of n x n float32 that the baseline needs at least


def affinity(options: Options) -> Iterator[Comparison]:
    """Compare propagation and one affinity loss, forward and backward, of one image: 64 features, 21 classes."""
    for side in _QUICK_CELLS if options.quick else _CELLS:
        yield _compare(side, options)


def _compare(side: int, options: Options) -> Comparison:
    generator, cells = torch.Generator().manual_seed(3), side * side
    features = (0.3 * torch.randn(_FEATURES, cells, generator=generator)).to(options.device).requires_grad_()
    values = torch.randn(_CHANNELS, cells, generator=generator).softmax(0).to(options.device).requires_grad_()
    cotangent = torch.randn(_CHANNELS, cells, generator=generator).to(options.device)
    segments = segments_at_stride(_make_owner(_STRIDE * side, generator).to(options.device), _STRIDE)
    masks = [segments.masks(_OBJECTS)]

    def ours() -> Results:
        result = propagate_and_compare(features, values, [segments])
        return {"propagated": result.propagated, "loss": affinity_losses(result.pair_means).sum()}

    leaves, cotangents = {"features": features, "values": values}, {"propagated": cotangent}
    return Comparison(
        "affinity",
        Pass(ours, leaves, cotangents),
        Pass(lambda: propagate_and_compare_densely(features, values, masks), leaves, cotangents),
        baseline_bytes=_MATRICES * 4 * cells * cells,
        about={"option": f"{side}x{side}", "input": f"{side} x {side} cells", "objects": _OBJECTS},
    )


def _make_owner(side: int, generator: torch.Generator) -> Tensor:
    """Draw discs of equal size that touch and cover about half of the image, as an owner map (side, side)."""
    centers = torch.rand((_OBJECTS, 2), generator=generator) * side
    pixels = torch.cartesian_prod(torch.arange(side), torch.arange(side)).float()
    distance, nearest = torch.cdist(pixels, centers).min(1)
    radius = 0.5 * side / _OBJECTS**0.5
    return torch.where(distance < radius, nearest + 1, 0).reshape(side, side)
