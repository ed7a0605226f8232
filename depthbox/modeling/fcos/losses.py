"""Losses of the detector: classes, boxes and box quality."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def delta_ious(deltas: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Compute IoU and generalized IoU of pairs of boxes that share a location.

    The IoU is (intersection + 1) / (union + 1) in squared units of the distances, as in the published FCOS.

    Args:
        deltas, targets: (N, 4) float, distances to the left, top, right and bottom side, >= 0.

    Returns:
        iou (N,) and giou (N,).
    """
    area = (deltas[:, 0] + deltas[:, 2]) * (deltas[:, 1] + deltas[:, 3])
    target_area = (targets[:, 0] + targets[:, 2]) * (targets[:, 1] + targets[:, 3])
    overlap, hull = torch.minimum(deltas, targets), torch.maximum(deltas, targets)
    intersection = (overlap[:, 0] + overlap[:, 2]) * (overlap[:, 1] + overlap[:, 3])
    hull_area = (hull[:, 0] + hull[:, 2]) * (hull[:, 1] + hull[:, 3])
    union = area + target_area - intersection
    iou = (intersection + 1) / (union + 1)
    return iou, iou - (hull_area - union) / hull_area


def box_loss(deltas: Tensor, targets: Tensor, kind: str = "giou") -> Tensor:
    """Compute the loss (N,) of each box.

    Args:
        deltas, targets: (N, 4) float, see ``delta_ious``.
        kind: "giou" (1 - giou), "iou" (-log(iou)) or "linear_iou" (1 - iou).

    Raises:
        ValueError: ``kind`` has another value.
    """
    iou, giou = delta_ious(deltas, targets)
    if kind == "giou":
        return 1 - giou
    if kind == "iou":
        return -iou.log()
    if kind == "linear_iou":
        return 1 - iou
    raise ValueError(f"MODEL.FCOS.LOC_LOSS_TYPE must be giou, iou or linear_iou, got {kind!r}")


def centerness(deltas: Tensor) -> Tensor:
    """Compute sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b)).

    Args:
        deltas: (N, 4) float, distances l, t, r, b > 0.

    Returns:
        (N,) in (0, 1].

    Example:
        >>> import torch
        >>> centerness(torch.tensor([[1.0, 2.0, 4.0, 2.0]])).tolist()
        [0.5]
    """
    horizontal, vertical = deltas[:, 0::2], deltas[:, 1::2]
    return torch.sqrt(
        horizontal.amin(1) / horizontal.amax(1).clamp(min=1e-12) * vertical.amin(1) / vertical.amax(1).clamp(min=1e-12)
    )


def fcos_losses(
    focal: Tensor,
    deltas: Tensor,
    quality: Tensor,
    target_deltas: Tensor,
    *,
    num_positives: Tensor,
    global_sum: Callable[[Tensor], Tensor],
    box_quality: str = "centerness",
    loc_loss_type: str = "giou",
    cls_weight: float = 1.0,
) -> dict[str, Tensor]:
    """Compute the losses of FCOS.

    Args:
        focal: 0-dim, sum of ``focal_loss`` over all locations of the batch.
        deltas, target_deltas: (N, 4), distances in strides, of the N positive locations.
        quality: (N,), box quality before the sigmoid.
        num_positives: 0-dim, mean over the processes of N, at least 1 / number of processes.
        global_sum: function that returns the mean of a tensor over all processes.
        box_quality: "centerness" or "iou", the target of ``quality``.
        loc_loss_type: see ``box_loss``.
        cls_weight: weight of the focal loss.

    Returns:
        loss_fcos_cls, loss_fcos_loc and loss_fcos_ctr or loss_fcos_iou, 0-dim.
    """
    losses = {"loss_fcos_cls": cls_weight * focal / num_positives}
    box_terms = box_loss(deltas, target_deltas, loc_loss_type)
    if box_quality == "iou":
        target = delta_ious(deltas, target_deltas)[0].detach()
        losses["loss_fcos_loc"] = box_terms.sum() / num_positives
        name = "loss_fcos_iou"
    else:
        target = centerness(target_deltas)
        losses["loss_fcos_loc"] = (box_terms * target).sum() / global_sum(target.sum()).clamp(min=1e-6)
        name = "loss_fcos_ctr"
    losses[name] = F.binary_cross_entropy_with_logits(quality, target, reduction="sum") / num_positives
    return losses
