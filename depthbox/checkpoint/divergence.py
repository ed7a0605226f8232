"""Diverged weights: their detection, and advice for the user."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor


def check_finite(weights: Mapping[str, Tensor], last_good: Path | None) -> None:
    """Refuse weights that have diverged.

    Args:
        weights: state dict of a network, with tensors of any shape; integer tensors are not checked.
        last_good: the last checkpoint, for the message.

    Raises:
        FloatingPointError: naming the first bad tensor.
    """
    names = [name for name, tensor in weights.items() if tensor.is_floating_point()]
    finite = [torch.isfinite(weights[name]).all() for name in names]
    for name, good in zip(names, torch.stack(finite).tolist() if finite else [], strict=True):  # one synchronization
        if not good:
            raise FloatingPointError(
                f"the weight {name} is not finite: no checkpoint is written. {format_divergence_advice(last_good)}"
            )


def format_divergence_advice(last_good: Path | None) -> str:
    """Return advice for a user whose training run diverges."""
    where = f"The last good checkpoint is {last_good}." if last_good else "No checkpoint was written yet."
    return (
        f"{where} What helps: a lower SOLVER.BASE_LR (it depends on the batch size), a longer "
        "SOLVER.WARMUP_ITERS, SOLVER.CLIP_GRADIENTS.ENABLED True, or SOLVER.AMP.ENABLED False."
    )
