"""Resizing aligned with the locations of the feature pyramid: cell j of stride s lies at pixel s * j + s // 2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def aligned_upsample(x: Tensor, factor: int) -> Tensor:
    """Upsample bilinearly such that cell j coincides with output cell ``factor * j + factor // 2``.

    On each axis of n cells, out[o] interpolates x at clamp((o - factor // 2) / factor, 0, n - 1). The output keeps the
    locations ``s * j + s // 2`` of a feature pyramid, unlike ``F.interpolate`` with either value of ``align_corners``.

    Args:
        x: (..., H, W), any floating type.
        factor: integer >= 1.

    Returns:
        (..., factor * H, factor * W) of the same dtype.

    Raises:
        ValueError: the factor is below 1.

    Example:
        >>> import torch
        >>> aligned_upsample(torch.tensor([[0.0, 1.0]]), factor=2).tolist()
        [[0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.5, 1.0]]
    """
    if factor < 1:
        raise ValueError(f"the factor must be an integer >= 1, got {factor}")
    if factor == 1 or x.numel() == 0:  # nothing to interpolate; the result stays on the graph
        return x.repeat_interleave(factor, -2).repeat_interleave(factor, -1) if factor > 1 else x
    if torch.is_grad_enabled() and x.requires_grad:
        result: Tensor = _AlignedUpsample.apply(x, factor)
        return result
    return _upsample_axis(_upsample_axis(x, factor, -1), factor, -2)


def sample_grid(
    values: Tensor,
    stride: int,
    source: tuple[int, int],
    target: tuple[int, int],
    x: Tensor | None = None,
    y: Tensor | None = None,
) -> Tensor:
    """Sample maps of one view of an image at locations given in the pixels of another view.

    Both views show the whole image. Values between the cells are interpolated bilinearly, and values outside the grid
    are those of its border. With x and y at all pixels and equal views, this is ``aligned_upsample`` by the stride.

    Args:
        values: (N, H, W) float, on the mask grid of the source view, padding included.
        stride: pixels of a view per cell of its mask grid.
        source, target: (height, width) of both views without padding, in pixels.
        x, y: (columns,) and (rows,) float32, locations in pixels of the target view; 0.5 is the center of the first
            pixel. None stands for the pixels that the target's mask grid samples.

    Returns:
        (N, rows, columns) of the same dtype, by default (N, ceil(height / stride), ceil(width / stride)).

    Example:
        >>> import torch
        >>> ramp = torch.tensor([[[0.0, 1.0, 2.0]]])
        >>> sample_grid(ramp, stride=4, source=(4, 12), target=(4, 24)).tolist()
        [[[0.0, 0.1875, 0.6875, 1.1875, 1.6875, 2.0]]]
    """
    axes = []
    for side, pixels in enumerate((y, x)):
        if pixels is None:
            cells = torch.arange(-(-target[side] // stride), device=values.device, dtype=torch.float32)
            pixels = cells * stride + (stride // 2 + 0.5)
        cell = (pixels * (source[side] / target[side]) - 0.5 - stride // 2) / stride
        axes.append(cell * 2 / max(values.shape[1 + side] - 1, 1) - 1)
    down, across = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack((across, down), dim=2).expand(len(values), -1, -1, -1)
    return F.grid_sample(values[:, None], grid.to(values.dtype), padding_mode="border", align_corners=True)[:, 0]


class _AlignedUpsample(torch.autograd.Function):
    """Differentiable form: writes each phase of the output in place and saves no tensor for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: int) -> Tensor:
        ctx.factor = factor
        return _write_axis(_write_axis(x, factor, -1), factor, -2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _gather_axis(_gather_axis(grad, ctx.factor, -2), ctx.factor, -1), None


def _write_axis(x: Tensor, factor: int, dim: int) -> Tensor:
    """Upsample one axis into a new tensor; phase p holds the output cells ``factor * j + p``."""
    axis, size = dim % x.dim(), x.shape[dim]
    result = x.new_empty((*x.shape[:axis], size, factor, *x.shape[axis + 1 :]))
    first, last = x.narrow(axis, 0, size - 1), x.narrow(axis, 1, size - 1)
    for phase in range(factor):
        part, offset = result.select(axis + 1, phase), (phase - factor // 2) / factor
        if offset == 0:
            part.copy_(x)
        elif offset < 0:
            part.select(axis, 0).copy_(x.select(axis, 0))
            torch.lerp(last, first, -offset, out=part.narrow(axis, 1, size - 1))
        else:
            part.select(axis, -1).copy_(x.select(axis, -1))
            torch.lerp(first, last, offset, out=part.narrow(axis, 0, size - 1))
    return result.flatten(axis, axis + 1)


def _gather_axis(grad: Tensor, factor: int, dim: int) -> Tensor:
    """Apply the adjoint of ``_write_axis``."""
    axis, size = dim % grad.dim(), grad.shape[dim] // factor
    parts = grad.unflatten(axis, (size, factor))
    total = parts.select(axis + 1, factor // 2).clone()  # this phase is a copy of x
    for phase in range(factor):
        part, offset = parts.select(axis + 1, phase), (phase - factor // 2) / factor
        if offset == 0:
            continue
        edge = 0 if offset < 0 else -1
        total.select(axis, edge).add_(part.select(axis, edge))
        inner = part.narrow(axis, 1 if offset < 0 else 0, size - 1)
        lower, upper = total.narrow(axis, 0, size - 1), total.narrow(axis, 1, size - 1)
        lower.add_(inner, alpha=-offset if offset < 0 else 1 - offset)
        upper.add_(inner, alpha=1 + offset if offset < 0 else offset)
    return total


def _upsample_axis(x: Tensor, factor: int, dim: int) -> Tensor:
    """Upsample one axis by operations that can be traced, exported and compiled."""
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
