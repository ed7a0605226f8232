"""Sigmoid focal loss of class indices, without a one-hot matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_CPU_CHUNK = 2**16  # logits that are processed together: they fit into the cache
_DEVICE_CHUNK = 2**22  # on other devices few launches matter more than little memory


def focal_loss(levels: Sequence[Tensor], labels: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Sum the sigmoid focal loss over all locations and classes (Lin et al., eq. 5).

    Let z be the logit of a class, negated for the class that labels the location. Its term is
    w softplus(z) sigmoid(z)^gamma, with the derivative
    w sigmoid(z)^gamma (sigmoid(z) + gamma softplus(z) (1 - sigmoid(z))). The forward pass computes the derivatives, and
    they are all that is saved for the backward pass.

    Args:
        levels: float tensors (B, C, P_l), logits of each level.
        labels: (B, P) int64 in 0..C, P the sum of all P_l; C is the background.
        alpha: weight w of the labeled class, 1 - alpha that of the other classes; a negative value sets all w to 1.
        gamma: exponent, >= 0.

    Returns:
        Scalar >= 0, float32 (float64 for float64 logits).

    Example:
        >>> import torch
        >>> logits = torch.zeros(1, 2, 3)  # one image, two classes, three locations
        >>> labels = torch.tensor([[0, 1, 2]])  # the last location is background
        >>> round(float(focal_loss([logits], labels, alpha=-1.0, gamma=0.0)), 4)  # 6 ln(2)
        4.1589
    """
    sizes = [level.shape[2] for level in levels]
    if labels.device.type != "cpu":
        return _FocalLoss.apply(torch.cat(list(levels), dim=2), labels, alpha, gamma, _DEVICE_CHUNK)
    parts = zip(levels, labels.split(sizes, dim=1), strict=True)
    return torch.stack([_FocalLoss.apply(level, part, alpha, gamma, _CPU_CHUNK) for level, part in parts]).sum()


class _Terms(NamedTuple):
    """Terms of the loss without their weights w, and their derivatives by z."""

    value: Tensor
    slope: Tensor


class _FocalLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, labels, alpha, gamma, chunk):  # type: ignore[no-untyped-def]
        dtype = logits.dtype if logits.dtype == torch.float64 else torch.float32
        # float32 also for half precision: slopes of easy negatives are below the smallest float16
        slopes = torch.empty_like(logits, dtype=dtype) if ctx.needs_input_grad[0] else None
        total = logits.new_zeros((), dtype=dtype)
        for images, locations in _chunks(logits.shape, chunk):
            z, label = logits[images, :, locations].to(dtype, copy=True), labels[images, None, locations]
            slope = _add_chunk(total, z, label, alpha, gamma)
            if slopes is not None:
                slopes[images, :, locations] = slope
        ctx.save_for_backward(slopes)
        ctx.dtype = logits.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_total):  # type: ignore[no-untyped-def]
        (slopes,) = ctx.saved_tensors
        return (slopes * grad_total).to(ctx.dtype), None, None, None, None


def _add_chunk(total: Tensor, z: Tensor, label: Tensor, alpha: float, gamma: float) -> Tensor:
    """Add the loss of logits z (B, C, P) with labels (B, 1, P) to ``total``; return the derivatives by the logits.

    Both ``total`` and ``z`` are modified.
    """
    own, others = (alpha, 1 - alpha) if alpha >= 0 else (1.0, 1.0)
    is_object, index = label < z.shape[1], label.clamp(max=z.shape[1] - 1)
    own_z = z.gather(1, index)
    z.scatter_(1, index, torch.where(is_object, -own_z, own_z))
    value, slope = _focal_terms(z, gamma)
    own_value, own_slope = value.gather(1, index), slope.gather(1, index)
    total += own * own_value.masked_fill(~is_object, 0).sum()
    total += others * value.scatter_(1, index, own_value.masked_fill(is_object, 0)).sum()
    return slope.mul_(others).scatter_(1, index, torch.where(is_object, -own * own_slope, others * own_slope))


def _focal_terms(z: Tensor, gamma: float) -> _Terms:
    """Compute softplus(z) sigmoid(z)^gamma and its derivative; ``z`` is modified."""
    score = torch.sigmoid(z)
    value = F.logsigmoid(z.neg_()).neg_()  # softplus(z), without overflow or cancellation
    slope = score**gamma
    value *= slope
    slope *= score
    return _Terms(value, slope.addcmul_(value, score.neg_().add_(1), value=gamma))


def _chunks(shape: torch.Size, chunk: int) -> Iterator[tuple[slice, slice]]:
    """Split (B, C, P) into parts of at most ``chunk`` numbers or one location; yield slices of images and locations."""
    images, classes, locations = shape
    step = max(min(chunk // classes, locations), 1)
    together = max(chunk // (classes * step), 1) if step == locations else 1
    for first in range(0, images, together):
        for start in range(0, locations, step):
            yield slice(first, first + together), slice(start, start + step)
