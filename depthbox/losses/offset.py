"""Offset loss: weighted L1 distance of predicted offsets from the offsets to each pixel's point (P2Seg; S2I)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class OffsetSum:
    """Numerator and denominator of the offset loss, to be added over processes.

    Attributes:
        total: 0-dim, sum of weight times L1 distance, differentiable.
        count: 0-dim of the same dtype, number of pixels of positive weight.
    """

    total: Tensor
    count: Tensor


def sum_offset_errors(offsets: Tensor, targets: Tensor, weight: Tensor) -> OffsetSum:
    """Sum w (|O_y - T_y| + |O_x - T_x|) over the pixels of a batch and count the pixels of positive weight.

    A NaN among the offsets makes the total NaN, also at a pixel of weight 0.

    Args:
        offsets: (B, 2, H, W) float, predicted (dy, dx) in input pixels; half precision is converted to float32.
        targets: (B, 2, H, W) float or integer.
        weight: (B, H, W) float, bool or integer, >= 0.

    Returns:
        Record of two 0-dim tensors, float32 or wider.

    Raises:
        ValueError: the shapes do not match.
    """
    if offsets.shape != targets.shape or weight.shape != offsets[:, 0].shape:
        shapes = tuple(offsets.shape), tuple(targets.shape), tuple(weight.shape)
        raise ValueError("offsets and targets must be (B, 2, H, W), weight (B, H, W); got {}, {}, {}".format(*shapes))
    offsets = offsets.float() if offsets.dtype.itemsize < 4 else offsets
    distance = (offsets - targets.to(offsets.dtype)).abs().sum(1)
    return OffsetSum((distance * weight.to(offsets.dtype)).sum(), (weight > 0).sum().to(offsets.dtype))


def offset_loss(offsets: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Compute the mean L1 distance l1(O, T, w) of a batch over the pixels of positive weight (P2Seg; S2I).

    Args:
        offsets, targets, weight: as in ``sum_offset_errors``.

    Returns:
        0-dim >= 0; 0 with zero gradients if no pixel has weight.

    Raises:
        ValueError: the shapes do not match.

    Example:
        >>> import torch
        >>> offsets = torch.tensor([1.0, -2.0]).reshape(1, 2, 1, 1)
        >>> float(offset_loss(offsets, torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1)))
        3.0
    """
    errors = sum_offset_errors(offsets, targets, weight)
    return errors.total / errors.count.clamp(min=1)
