"""Statistics of a training step: raw losses, warm-up factors, and the share of the boxes that the masks fill."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from detectron2.utils.events import get_event_storage
from torch import Tensor

from ..ops import box_extents
from ..structures import Queries


def training_iteration() -> int | None:
    """Return the iteration of the running training loop; None outside a training loop."""
    try:
        return int(get_event_storage().iter)
    except AssertionError:
        return None


def warmup_factor(iterations: int) -> float:
    """Return min((t + 1) / iterations, 1) at iteration t; 1 outside a training loop or if ``iterations`` is 0.

    t counts optimizer steps: a resumed run continues it, fine-tuning starts at 0, and gradient accumulation does not
    advance it faster.
    """
    iteration = training_iteration()
    if iteration is None or iterations <= 0:
        return 1.0
    return min((iteration + 1) / iterations, 1.0)


@torch.no_grad()
def compute_training_stats(
    mask_losses: Mapping[str, Tensor],
    warmups: Mapping[str, float],
    logits: Tensor,
    queries: Queries,
    boxes: Tensor,
    stride: int,
) -> dict[str, Tensor | float]:
    """Compute the statistics of one forward pass, without waiting for the device.

    ``health/mask_fill`` close to 1 for long means that the masks have collapsed to their boxes.

    Args:
        mask_losses: 0-dim mask losses by name, before the warm-up.
        warmups: warm-up factors by loss name.
        logits: (Q, 1, H, W) mask logits.
        queries: Q queries.
        boxes: (M, 4) xyxy, boxes of the annotated objects, input pixels.
        stride: input pixels per cell of the logits.

    Returns:
        Numbers on the host, and 0-dim float32 tensors on the device, by their names in the event storage:
        ``health/positives_per_image``, ``health/queries_per_image``, ``warmup/...``, ``health/mask_fill`` (NaN if no
        box covers a cell) and ``raw/...``. Empty outside a training loop.
    """
    if training_iteration() is None:
        return {}
    return {
        "health/positives_per_image": queries.num_positives / len(queries.counts),
        "health/queries_per_image": len(queries) / len(queries.counts),
        **{name.replace("loss_", "warmup/"): factor for name, factor in warmups.items()},
        "health/mask_fill": _mask_fill(logits, boxes[queries.target_index], stride),
        **{name.replace("loss_", "raw/"): loss.detach().float() for name, loss in mask_losses.items()},
    }


def _mask_fill(logits: Tensor, boxes: Tensor, stride: int) -> Tensor:
    """Return the mean fraction of its box that each mask fills, over boxes that cover a cell; NaN if none does."""
    rows, columns = box_extents(boxes, logits.shape[2], logits.shape[3], stride)
    cells = rows.sum(1) * columns.sum(1)
    inside = logits[:, 0] > 0
    inside &= rows[:, :, None]
    inside &= columns[:, None, :]
    fractions = inside.sum((1, 2)) / cells.clamp(min=1)
    return fractions.sum() / (cells > 0).sum()
