"""Signs of healthy training, written to the event storage each step with one copy to the host."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from detectron2.utils.events import get_event_storage
from torch import Tensor

from ..ops import box_extents
from ..structures import MaskTargets, Queries
from .warmup import training_iteration


@torch.no_grad()
def log_training(
    mask_losses: dict[str, Tensor],
    warmups: Mapping[str, float],
    logits: Tensor,
    queries: Queries,
    targets: MaskTargets,
    stride: int,
) -> None:
    """Log raw mask losses, warm-up factors, positives and queries per image, and how much of its box the mask fills.

    ``health/mask_fill`` near 1 for long means that masks have collapsed to their boxes. Nothing is logged outside a
    training loop.

    Args:
        mask_losses: before the warm-up.
        warmups: factors of the losses that grow slowly, by the loss's name.
        logits: (Q, 1, H, W) mask logits.
        queries, targets: of the batch.
        stride: input pixels per cell of the logits.
    """
    if training_iteration() is None:
        return
    rows, columns = box_extents(targets.boxes[queries.target_index], logits.shape[2], logits.shape[3], stride)
    boxes = rows[:, :, None] & columns[:, None, :]
    cells = boxes.sum((1, 2)).float()
    filled = ((logits[:, 0] > 0) & boxes).sum((1, 2)).float()
    visible = (cells > 0).sum()
    fill = (filled / cells.clamp(min=1)).sum() / visible.clamp(min=1)
    values = [visible, fill, *(loss.detach() for loss in mask_losses.values())]
    numbers = torch.stack([value.float() for value in values]).tolist()
    storage = get_event_storage()
    if numbers[0]:
        storage.put_scalar("health/mask_fill", numbers[1])
    storage.put_scalar("health/positives_per_image", queries.num_positives / len(queries.counts))
    storage.put_scalar("health/queries_per_image", len(queries) / len(queries.counts))
    for name, factor in warmups.items():
        storage.put_scalar(name.replace("loss_", "warmup/"), factor)
    for name, number in zip(mask_losses, numbers[2:], strict=True):
        storage.put_scalar(name.replace("loss_", "raw/"), number)
