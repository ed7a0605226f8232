"""Resizing that keeps coarse samples where the pyramid's positions are."""

from __future__ import annotations

import torch
from torch import Tensor


def aligned_upsample(x: Tensor, factor: int) -> Tensor:
    """Upsample linearly so that cell j lands exactly on output cell ``factor * j + factor // 2``.

    out[o] is the linear interpolation of x at clamp((o - factor // 2) / factor, 0, n - 1), on both axes; so
    the coarse grid keeps the positions ``j * s + s // 2`` of the feature pyramid.

    Args:
        x: (..., H, W) float.
        factor: a whole number >= 1.

    Returns:
        (..., factor * H, factor * W).

    Raises:
        ValueError: the factor is below 1.
    """
    if factor < 1:
        raise ValueError(f"the factor must be a whole number >= 1, got {factor}")
    if factor == 1 or x.numel() == 0:  # no values to interpolate, but the result stays on the graph
        return x.repeat_interleave(factor, -2).repeat_interleave(factor, -1) if factor > 1 else x
    return _upsample_axis(_upsample_axis(x, factor, -1), factor, -2)


def _upsample_axis(x: Tensor, factor: int, dim: int) -> Tensor:
    size = x.shape[dim]
    before = torch.cat((x.narrow(dim, 0, 1), x.narrow(dim, 0, size - 1)), dim)
    after = torch.cat((x.narrow(dim, 1, size - 1), x.narrow(dim, size - 1, 1)), dim)
    phases = []
    for phase in range(factor):
        offset = (phase - factor // 2) / factor
        if offset == 0:
            phases.append(x)
        else:
            phases.append(torch.lerp(x, before if offset < 0 else after, abs(offset)))
    axis = dim % x.dim()
    return torch.stack(phases, dim=axis + 1).flatten(axis, axis + 1)
