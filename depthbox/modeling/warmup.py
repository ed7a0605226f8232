"""Warm-up of losses, by the one clock there is: the trainer's iteration."""

from __future__ import annotations

from detectron2.utils.events import get_event_storage


def training_iteration() -> int | None:
    """The running trainer's iteration, None outside a training loop."""
    try:
        return int(get_event_storage().iter)
    except AssertionError:
        return None


def warmup_factor(iterations: int) -> float:
    """min((t + 1) / iterations, 1) at iteration t; 1 outside a training loop or where ``iterations`` is 0.

    The clock counts steps of the optimiser, so it goes on where a resumed run stopped, starts anew when fine-tuning,
    and does not run faster under gradient accumulation.
    """
    iteration = training_iteration()
    if iteration is None or iterations <= 0:
        return 1.0
    return min((iteration + 1) / iterations, 1.0)
