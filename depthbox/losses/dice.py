"""Dice loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..ops.triton.support import is_available

_CHUNK = 2**19  # logits that are looked at together on the CPU: they fit into its cache


def dice_loss(scores: Tensor, targets: Tensor, eps: float = 1e-5) -> Tensor:
    """Dice loss of each row: 1 - 2 * sum(x t) / (sum x^2 + sum t^2 + eps).

    Args:
        scores: (N, ...) in [0, 1], after the sigmoid.
        targets: the same shape, in [0, 1].
        eps: keeps the empty pair finite; its loss is 1.

    Returns:
        (N,) float32 at least, in [0, 1].

    Raises:
        ValueError: the shapes differ.
    """
    if scores.shape != targets.shape:
        raise ValueError(f"scores {tuple(scores.shape)} and targets {tuple(targets.shape)} must have one shape")
    x = scores.flatten(1)
    x = x.float() if x.dtype.itemsize < 4 else x
    t = targets.flatten(1).to(x.dtype)
    return 1 - 2 * (x * t).sum(1) / ((x * x).sum(1) + (t * t).sum(1) + eps)


def dice_loss_from_logits(
    logits: Tensor, targets: Tensor, index: Tensor, eps: float = 1e-5, triton: bool = True
) -> Tensor:
    """``dice_loss(logits.sigmoid(), targets[index])``; neither is made, and only the logits are kept for backward.

    Args:
        logits: (N, 1, H, W), before the sigmoid, float32 or float64.
        targets: (M, H, W) bool or float in [0, 1].
        index: (N,) int64, target of each row.
        eps: as in ``dice_loss``.
        triton: use Triton kernels where they run; the results are equal.

    Returns:
        (N,) in [0, 1].
    """
    if triton and is_available(logits.device):
        from ..ops.triton import dice as triton_dice

        if triton_dice.fits(logits):
            return triton_dice.dice_loss_from_logits(logits, targets, index, eps)
    return _DiceFromLogits.apply(logits, targets, index, eps)


class _DiceFromLogits(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, index, eps):  # type: ignore[no-untyped-def]
        overlap, norm = logits.new_empty((2, len(logits)))
        for part in _chunks(logits):
            scores = logits[part].sigmoid().flatten(1)
            truth = targets[index[part]].flatten(1).to(scores.dtype)
            overlap[part] = (scores * truth).sum(1)
            norm[part] = (scores * scores).sum(1) + (truth * truth).sum(1) + eps
        ctx.save_for_backward(logits, targets, index, overlap, norm)
        return 1 - 2 * overlap / norm

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        logits, targets, index, overlap, norm = ctx.saved_tensors
        # d/dx (1 - 2 o / n) = (4 o / n^2) x - (2 / n) t, and dx/dz = x (1 - x)
        by_score = (grad * 4 * overlap / norm.square())[:, None, None, None]
        by_truth = (grad * -2 / norm)[:, None, None, None]
        total = torch.empty_like(logits)
        for part in _chunks(logits):
            scores = logits[part].sigmoid()
            slope = by_score[part] * scores
            slope.addcmul_(targets[index[part]][:, None].to(scores.dtype), by_truth[part])
            torch.mul(slope, scores - scores.square(), out=total[part])
        return total, None, None, None


def _chunks(logits: Tensor) -> list[slice]:
    rows = len(logits)
    step = rows if logits.device.type != "cpu" else max(_CHUNK // max(logits[0].numel() if rows else 1, 1), 1)
    return [slice(start, start + step) for start in range(0, rows, max(step, 1))]
