"""Resampling of mask probabilities as two matrix products, so that any sizes fit one graph."""

from __future__ import annotations

import torch
from torch import Tensor


def axis_weights(cells: int, stride: int, image: int, output: int, device: torch.device | None = None) -> Tensor:
    """Weights (output, cells) that take one axis of the mask grid to the output image.

    The same as ``ops.aligned_upsample`` by ``stride``, a cut to ``image`` pixels and, where the output has another
    size, ``interpolate`` (bilinear, corners not aligned): each is linear, and so is what they make together.

    Args:
        cells: of the mask grid.
        stride: input pixels per cell.
        image: pixels of the network's input without padding.
        output: pixels of the result.
        device: of the result.
    """
    pixel = torch.arange(image, device=device, dtype=torch.float32)
    in_cells = ((pixel - stride // 2) / stride).clamp(min=0)
    upsample = _linear(in_cells, cells)
    # As tensors: torch cannot export the quotient of two numbers that are known at run time only.
    scale = torch.scalar_tensor(image, device=device) / torch.scalar_tensor(output, device=device)
    place = (torch.arange(output, device=device, dtype=torch.float32) + 0.5) * scale - 0.5
    return _linear(place.clamp(min=0), image) @ upsample


def resample(scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Probabilities (N, h, w) at the output's size (N, height, width).

    Args:
        scores: on the mask grid.
        rows, columns: (height, h) and (width, w), of ``axis_weights``.
    """
    return (rows @ scores) @ columns.t()


def _linear(places: Tensor, size: int) -> Tensor:
    """Weights (M, size) of linear interpolation at M places >= 0; beyond the last sample its value goes on."""
    sample = torch.arange(size, device=places.device, dtype=torch.float32)
    return (1 - (places.clamp(max=size - 1)[:, None] - sample).abs()).clamp(min=0)
