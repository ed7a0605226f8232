"""Projection loss: the mask must touch all four sides of its box and not leave it (BoxInst)."""

from __future__ import annotations

from torch import Tensor

from .dice import dice_loss


def projection_loss(scores: Tensor, box_masks: Tensor) -> Tensor:
    """Dice loss between the maxima of mask and box along each axis, both axes summed.

    Args:
        scores: (N, 1, H, W) in [0, 1], after the sigmoid.
        box_masks: (N, 1, H, W) bool or float, the filled boxes.

    Returns:
        (N,) in [0, 2].
    """
    boxes = box_masks.to(scores.dtype)
    return _profile_dice(scores, boxes.amax(dim=3).flatten(1), boxes.amax(dim=2).flatten(1), sigmoid=False)


def projection_loss_from_logits(logits: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The same from logits and box extents: the sigmoid is monotonic, so it is taken of the maxima only.

    Args:
        logits: (N, 1, H, W), before the sigmoid.
        rows: (N, H) bool, rows inside the box.
        columns: (N, W) bool, columns inside the box.

    Returns:
        (N,) in [0, 2]; the gradient is non-zero only at the maxima.
    """
    return _profile_dice(logits, rows, columns, sigmoid=True)


def _profile_dice(values: Tensor, rows: Tensor, columns: Tensor, sigmoid: bool) -> Tensor:
    row_maxima = values.max(dim=3).values.flatten(1)
    column_maxima = values.max(dim=2).values.flatten(1)
    if sigmoid:
        row_maxima, column_maxima = row_maxima.sigmoid(), column_maxima.sigmoid()
    return dice_loss(row_maxima, rows.to(values.dtype)) + dice_loss(column_maxima, columns.to(values.dtype))
