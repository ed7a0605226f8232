"""Divergence of a training run: its detection in weights, momenta and losses, and advice for the user."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LARGEST = 1e8  # absolute value of a weight or momentum; above it a training run does not recover
EXPLOSION = 10.0  # a loss above this multiple of the median of the losses before it
GROWTH = 100.0  # of the largest weight between two checkpoints
HISTORY_HOOK = "LossHistory"  # the hook in the trainer's state that holds the last losses
_FEWEST, _LAST = 5, 3  # losses of a median; losses that may not be an explosion
_STATISTICS = ("running_mean", "running_var")  # of normalization layers: the squares of activations may be large


@dataclass(frozen=True)
class Vitals:
    """Quantities of a checkpoint that show whether the training run was diverging.

    Attributes:
        iteration: index of its last iteration.
        losses: total losses of the last iterations, the latest last; empty for checkpoints of older versions.
        largest: largest absolute value of a weight.
    """

    iteration: int
    losses: tuple[float, ...]
    largest: float


def check_finite(weights: Mapping[str, Tensor], advice: str) -> float:
    """Refuse weights that have diverged.

    Args:
        weights: state dict of a network, with tensors of any shape; integer tensors are not checked.
        advice: for the message.

    Returns:
        The largest absolute value of a weight.

    Raises:
        FloatingPointError: naming the first bad tensor.
    """
    largest = measure(weights)
    problem = find_bad_value(largest, "weight")
    if problem:
        raise FloatingPointError(f"{problem}: no checkpoint is written. {advice}")
    return max((value for name, value in largest.items() if not name.endswith(_STATISTICS)), default=0.0)


def check_momenta(optimizer: Any, advice: str) -> None:
    """Refuse the state of an optimizer that has diverged; the next step would make the weights infinite.

    Raises:
        FloatingPointError: naming the first bad tensor.
    """
    problem = find_bad_value(measure(list_momenta(optimizer)), "momentum")
    if problem:
        raise FloatingPointError(f"{problem}: no checkpoint is written. {advice}")


def list_momenta(optimizer: Any) -> dict[str, Tensor]:
    """Return the momenta in the state dict of an optimizer, named by parameter; step counters are left out."""
    state = optimizer.get("state") if isinstance(optimizer, Mapping) else None
    rows = [(i, row) for i, row in state.items() if isinstance(row, Mapping)] if isinstance(state, Mapping) else []
    return {
        f"{key}_of_parameter_{index}": value
        for index, row in rows
        for key, value in row.items()
        if isinstance(value, Tensor) and key != "step"
    }


def measure(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the largest absolute value of each floating-point tensor of any shape; NaN if it has a NaN."""
    names = [name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel()]
    values = [torch.stack(torch.aminmax(tensors[name].detach())).float().abs().amax() for name in names]
    return dict(zip(names, torch.stack(values).tolist() if values else [], strict=True))  # one synchronization


def find_bad_value(largest: Mapping[str, float], kind: str) -> str | None:
    """Return a description of the first value that is not finite or above ``LARGEST``, None if there is none.

    Args:
        largest: of ``measure``.
        kind: "weight" or "momentum", for the description.
    """
    for name, value in largest.items():
        if not math.isfinite(value):
            return f"the {kind} {name} is not finite"
        if value > LARGEST and not name.endswith(_STATISTICS):
            return f"the {kind} {name} is not finite or too large ({value:.2g}, above {LARGEST:.0e})"
    return None


def find_bad_state(state: Mapping[str, Any]) -> str | None:
    """Return a description of the first weight or momentum of a checkpoint that has diverged, None if there is none."""
    momenta = measure(list_momenta(state["optimizer"]))
    return find_bad_value(measure(state["model"]), "weight") or find_bad_value(momenta, "momentum")


def read_vitals(state: Mapping[str, Any], largest: float | None = None) -> Vitals:
    """Return the quantities of a checkpoint.

    Args:
        state: its content.
        largest: largest absolute value of a weight; None computes it.
    """
    progress = state["trainer"]
    history = progress.get("hooks", {}).get(HISTORY_HOOK, {}).get("losses", ())
    losses = tuple(float(x) for x in history if isinstance(x, float)) if isinstance(history, Sequence) else ()
    values = measure(state["model"]) if largest is None else {"": largest}
    return Vitals(
        progress["iteration"],
        losses,
        max((value for name, value in values.items() if not name.endswith(_STATISTICS)), default=0.0),
    )


def find_divergence(vitals: Vitals, older: Vitals | None, next_loss: float | None = None) -> str | None:
    """Return why a checkpoint of a run that diverged later should not be resumed; None if it is sound.

    Args:
        vitals: of the checkpoint.
        older: of the checkpoint before it.
        next_loss: total loss with the weights of the checkpoint, if this is known.
    """
    losses = [*vitals.losses, *(() if next_loss is None else (next_loss,))]
    if len(losses) > _FEWEST:
        median = statistics.median(losses[:-_LAST])
        worst = max(losses[-_LAST:])
        if worst > EXPLOSION * median > 0:
            return f"its loss rose to {worst:.3g}, the median before is {median:.3g}"
    if older is not None and vitals.largest > GROWTH * max(older.largest, 1.0):
        return f"its largest weight is {vitals.largest:.2g}, that of the checkpoint before is {older.largest:.2g}"
    return None


def format_divergence_advice(last_good: Path | None, set_aside: Sequence[Path] = ()) -> str:
    """Return advice for a user whose training run diverges.

    Args:
        last_good: the checkpoint that --resume takes.
        set_aside: files of the checkpoints that were set aside.
    """
    where = f"The last good checkpoint is {last_good}." if last_good else "No checkpoint was written yet."
    if set_aside:
        names = ", ".join(path.name for path in set_aside)
        where = f"Checkpoints from the time of the divergence were set aside: {names}. " + (
            where if last_good else "No sound checkpoint is left: start again without --resume."
        )
    return (
        f"{where} What helps: a lower SOLVER.BASE_LR (it depends on the batch size), a longer "
        "SOLVER.WARMUP_ITERS, SOLVER.CLIP_GRADIENTS.ENABLED True, or SOLVER.AMP.ENABLED False."
    )
