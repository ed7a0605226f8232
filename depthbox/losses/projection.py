"""Projection loss: dice loss between the projections of mask and box onto both axes (BoxInst)."""

from __future__ import annotations

from torch import Tensor

from .dice import dice_loss


def projection_loss(scores: Tensor, box_masks: Tensor) -> Tensor:
    """Compute the projection loss, dice(max_x m, max_x b) + dice(max_y m, max_y b), of scores m and filled boxes b.

    Args:
        scores: (N, 1, H, W) float in [0, 1], after the sigmoid.
        box_masks: (N, 1, H, W) bool or float in [0, 1], the filled boxes (see ``ops.box_masks``).

    Returns:
        (N,) in [0, 2], float32 or the dtype of the scores if that is wider.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> import torch
        >>> box = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
        >>> box[..., 1:3, 1:3] = True
        >>> diagonal = torch.eye(4)[None, None] * box  # touches all four sides of the box
        >>> [round(loss, 4) for loss in projection_loss(diagonal, box).tolist()]
        [0.0]
        >>> [round(loss, 4) for loss in projection_loss(0 * diagonal, box).tolist()]
        [2.0]
    """
    if scores.shape != box_masks.shape:
        raise ValueError(f"scores {tuple(scores.shape)} and box masks {tuple(box_masks.shape)} must have one shape")
    boxes = box_masks.to(scores.dtype)
    return _profile_dice(scores, boxes.amax(dim=3).flatten(1), boxes.amax(dim=2).flatten(1), sigmoid=False)


def projection_loss_from_logits(logits: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Compute ``projection_loss`` from logits and box extents.

    The sigmoid is monotonic and therefore applied to the maxima only. The gradient is nonzero only at the maxima.

    Args:
        logits: (N, 1, H, W) float, before the sigmoid.
        rows, columns: (N, H) and (N, W) bool, the rows and columns of each box (see ``ops.box_extents``).

    Returns:
        (N,) in [0, 2], float32 or the dtype of the logits if that is wider.
    """
    return _profile_dice(logits, rows, columns, sigmoid=True)


def _profile_dice(values: Tensor, rows: Tensor, columns: Tensor, sigmoid: bool) -> Tensor:
    row_maxima = values.max(dim=3).values.flatten(1)
    column_maxima = values.max(dim=2).values.flatten(1)
    if sigmoid:
        row_maxima, column_maxima = row_maxima.sigmoid(), column_maxima.sigmoid()
    return dice_loss(row_maxima, rows.to(values.dtype)) + dice_loss(column_maxima, columns.to(values.dtype))
