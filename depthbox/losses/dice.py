"""Dice loss."""

from __future__ import annotations

from torch import Tensor


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
