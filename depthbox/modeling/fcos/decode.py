"""Boxes from the distances that FCOS predicts."""

from __future__ import annotations

import torch
from torch import Tensor


def decode_boxes(locations: Tensor, deltas: Tensor, stride: Tensor | int) -> Tensor:
    """Decode predicted distances into boxes, without clipping.

    Args:
        locations: (..., 2) float, (x, y) in input pixels.
        deltas: (..., 4) float, distances to the left, top, right and bottom side, in strides.
        stride: pixels per cell, one number or a tensor (...) with one entry per location.

    Returns:
        (..., 4) xyxy in input pixels.

    Example:
        >>> import torch
        >>> decode_boxes(torch.tensor([[20.0, 12.0]]), torch.tensor([[1.0, 0.5, 2.0, 1.0]]), 8).tolist()
        [[12.0, 8.0, 36.0, 20.0]]
    """
    sides = deltas * (stride[..., None] if isinstance(stride, Tensor) else stride)
    return torch.cat((locations - sides[..., :2], locations + sides[..., 2:]), dim=-1)
