"""Signs of healthy training, written to the event storage each step without a wait for the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from detectron2.utils.events import EventStorage, get_event_storage
from torch import Tensor

from ..ops import box_extents
from ..structures import MaskTargets, Queries


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


class HostCopy:
    """A few numbers on their way from the device to the host; the device is waited for in ``numbers`` alone.

    Args:
        values: a tensor of any shape.
    """

    def __init__(self, values: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._values = values.detach()
        if values.is_cuda:
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def numbers(self) -> list[Any]:
        """The values as (nested) Python numbers."""
        if self._event is not None:
            self._event.synchronize()
        return self._values.tolist()


@dataclass(frozen=True)
class _Signs:
    """What one forward pass has to say: ``known`` on the host, ``names`` of the numbers that are on their way."""

    iteration: int
    known: dict[str, float]
    names: tuple[str, ...]
    copy: HostCopy


_on_their_way: WeakKeyDictionary[EventStorage, list[_Signs]] = WeakKeyDictionary()


@torch.no_grad()
def log_training(
    mask_losses: dict[str, Tensor],
    warmups: Mapping[str, float],
    logits: Tensor,
    queries: Queries,
    targets: MaskTargets,
    stride: int,
) -> None:
    """Note raw mask losses, warm-up factors, positives and queries per image, and how much of its box the mask fills.

    ``health/mask_fill`` near 1 for long means that masks have collapsed to their boxes. The trainer has the numbers
    written once they have arrived (``write_signs``); else they are, with the next step's. Nothing is noted outside a
    training loop.

    Args:
        mask_losses: before the warm-up.
        warmups: factors of the losses that grow slowly, by the loss's name.
        logits: (Q, 1, H, W) mask logits.
        queries, targets: of the batch.
        stride: input pixels per cell of the logits.
    """
    iteration = training_iteration()
    if iteration is None:
        return
    storage = get_event_storage()
    if any(signs.iteration != iteration for signs in _on_their_way.get(storage, [])):
        write_signs()
    known = {
        "health/positives_per_image": queries.num_positives / len(queries.counts),
        "health/queries_per_image": len(queries) / len(queries.counts),
        **{name.replace("loss_", "warmup/"): factor for name, factor in warmups.items()},
    }
    names = ("health/mask_fill", *(name.replace("loss_", "raw/") for name in mask_losses))
    fill = _mask_fill(logits, targets.boxes[queries.target_index], stride)
    values = torch.stack([value.detach().float() for value in (fill, *mask_losses.values())])
    _on_their_way.setdefault(storage, []).append(_Signs(iteration, known, names, HostCopy(values)))


def write_signs() -> None:
    """Write what ``log_training`` noted to the running loop's event storage; waits until it has arrived."""
    if training_iteration() is None:
        return
    storage = get_event_storage()
    for signs in _on_their_way.pop(storage, []):
        for name, value in (*signs.known.items(), *zip(signs.names, signs.copy.numbers(), strict=True)):
            if name != "health/mask_fill" or not math.isnan(value):
                storage.put_scalar(name, value)


def _mask_fill(logits: Tensor, boxes: Tensor, stride: int) -> Tensor:
    """Mean fraction of its box, where that covers a cell, that each mask fills; NaN where there is none."""
    rows, columns = box_extents(boxes, logits.shape[2], logits.shape[3], stride)
    cells = rows.sum(1) * columns.sum(1)
    inside = logits[:, 0] > 0
    inside &= rows[:, :, None]
    inside &= columns[:, None, :]
    fractions = inside.sum((1, 2)) / cells.clamp(min=1)
    return fractions.sum() / (cells > 0).sum()
