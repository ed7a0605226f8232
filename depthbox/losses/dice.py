"""Dice loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..ops.triton.support import is_available

_CHUNK = 2**19  # logits that are processed together on the CPU, so that they fit into its cache


def dice_loss(scores: Tensor, targets: Tensor, eps: float = 1e-5) -> Tensor:
    """Compute the dice loss of each instance, 1 - 2 sum(x t) / (sum x^2 + sum t^2 + eps) (eq. 10).

    Args:
        scores: (N, ...) float in [0, 1], after the sigmoid.
        targets: the same shape, bool or float in [0, 1].
        eps: keeps the loss of an empty score and target finite; it is 1.

    Returns:
        (N,) in [0, 1], float32 or the dtype of the scores if that is wider.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> import torch
        >>> scores, targets = torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
        >>> [round(loss, 4) for loss in dice_loss(scores, targets).tolist()]
        [0.2, 0.0]
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
    """Compute ``dice_loss(logits.sigmoid(), targets[index])`` without these two tensors.

    The backward pass recomputes the scores from the logits.

    Args:
        logits: (N, 1, H, W) float32 or float64, before the sigmoid.
        targets: (M, H, W) bool or float in [0, 1].
        index: (N,) int64 in 0..M-1, target of each instance.
        eps: as in ``dice_loss``.
        triton: use Triton kernels if available; the results are equal.

    Returns:
        (N,) in [0, 1], of the dtype of the logits.
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
            target = targets[index[part]].flatten(1).to(scores.dtype)
            overlap[part] = (scores * target).sum(1)
            norm[part] = (scores * scores).sum(1) + (target * target).sum(1) + eps
        ctx.save_for_backward(logits, targets, index, overlap, norm)
        return 1 - 2 * overlap / norm

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        logits, targets, index, overlap, norm = ctx.saved_tensors
        # d/dx (1 - 2 o / n) = (4 o / n^2) x - (2 / n) t, and dx/dz = x (1 - x)
        by_score = (grad * 4 * overlap / norm.square())[:, None, None, None]
        by_target = (grad * -2 / norm)[:, None, None, None]
        total = torch.empty_like(logits)
        for part in _chunks(logits):
            scores = logits[part].sigmoid()
            slope = by_score[part] * scores
            slope.addcmul_(targets[index[part]][:, None].to(scores.dtype), by_target[part])
            torch.mul(slope, scores - scores.square(), out=total[part])
        return total, None, None, None


def _chunks(logits: Tensor) -> list[slice]:
    """Split the instances into chunks that fit into the CPU's cache; on other devices, one chunk."""
    count = len(logits)
    step = count if logits.device.type != "cpu" else _CHUNK // max(logits[:1].numel(), 1)
    step = max(step, 1)
    return [slice(start, start + step) for start in range(0, count, step)]
