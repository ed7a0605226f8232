"""Focal loss of class indices: neither a one-hot matrix nor anything but the gradient is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Logits at a time: what a processor's cache holds; elsewhere few launches are worth more than few bytes.
CHUNK = 2**16
DEVICE_CHUNK = 2**22


def focal_loss(levels: Sequence[Tensor], labels: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Sum of the sigmoid focal loss over all positions and classes (Lin et al., eq. 5).

    With z the logit of a class, negated for the position's own class, a term is w softplus(z) sigmoid(z)^gamma, and its
    slope w sigmoid(z)^gamma (sigmoid(z) + gamma softplus(z) (1 - sigmoid(z))). The slopes are written in the forward
    pass.

    Args:
        levels: logits (B, C, P_l) of each level.
        labels: (B, P) int64 in 0..C, P the sum of all P_l; C = background.
        alpha: w of a position's own class, 1 - alpha that of the others; negative: w is 1.
        gamma: exponent, not negative.

    Returns:
        Scalar, float32 (float64 for float64).
    """
    sizes = [level.shape[2] for level in levels]
    if labels.device.type != "cpu":
        return _FocalLoss.apply(torch.cat(list(levels), dim=2), labels, alpha, gamma, DEVICE_CHUNK)
    parts = zip(levels, labels.split(sizes, dim=1), strict=True)
    return torch.stack([_FocalLoss.apply(level, part, alpha, gamma, CHUNK) for level, part in parts]).sum()


class _FocalLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, labels, alpha, gamma, chunk):  # type: ignore[no-untyped-def]
        dtype = logits.dtype if logits.dtype == torch.float64 else torch.float32
        own, others = (alpha, 1 - alpha) if alpha >= 0 else (1.0, 1.0)
        needed = ctx.needs_input_grad[0]
        # float32 also for half precision: slopes of easy negatives are far below what float16 can say.
        slopes = torch.empty_like(logits, dtype=dtype) if needed else None
        total = logits.new_zeros((), dtype=dtype)
        for images, places in _chunks(logits.shape, chunk):
            z, label = logits[images, :, places].to(dtype, copy=True), labels[images, None, places]
            is_object, index = label < z.shape[1], label.clamp(max=z.shape[1] - 1)
            own_z = z.gather(1, index)
            z.scatter_(1, index, torch.where(is_object, -own_z, own_z))
            value, slope = _focal_terms(z, gamma)
            own_value, own_slope = value.gather(1, index), slope.gather(1, index)
            total += own * own_value.masked_fill(~is_object, 0).sum()
            total += others * value.scatter_(1, index, own_value.masked_fill(is_object, 0)).sum()
            if slopes is not None:
                slope.mul_(others).scatter_(1, index, torch.where(is_object, -own * own_slope, others * own_slope))
                slopes[images, :, places] = slope
        ctx.save_for_backward(slopes)
        ctx.dtype = logits.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_total):  # type: ignore[no-untyped-def]
        (slopes,) = ctx.saved_tensors
        return (slopes * grad_total).to(ctx.dtype), None, None, None, None


def _focal_terms(z: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """softplus(z) sigmoid(z)^gamma and its derivative; softplus is taken where it neither overflows nor cancels."""
    score = torch.sigmoid(z)
    value = F.logsigmoid(z.neg_()).neg_()
    slope = score**gamma
    value *= slope
    slope *= score
    return value, slope.addcmul_(value, score.neg_().add_(1), value=gamma)


def _chunks(shape: torch.Size, chunk: int) -> Iterator[tuple[slice, slice]]:
    """Parts of a batch (B, C, P) of at most ``chunk`` numbers, or one position: images and positions."""
    images, classes, places = shape
    step = max(min(chunk // classes, places), 1)
    together = max(chunk // (classes * step), 1) if step == places else 1
    for first in range(0, images, together):
        for start in range(0, places, step):
            yield slice(first, first + together), slice(start, start + step)
