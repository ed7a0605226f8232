"""Supervision by the pseudo masks of a teacher (eq. 10 and 11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor
from torch.nn import functional as F

from ...losses import dice_loss_from_logits
from ...structures import Annotations, MaskPredictions, Queries
from .base import global_mean

NAME = "loss_pseudo_mask"


@dataclass(frozen=True)
class PseudoMaskTargets:
    """Pseudo masks of a batch on the mask grid.

    Attributes:
        masks: (M, H, W) float32 in [0, 1].
        weights: (M,) float32 in [0, 1], 0 = not reliable.
    """

    masks: Tensor
    weights: Tensor


class PseudoMaskSupervision:
    """Dice loss between predicted masks and the reliable pseudo masks of a teacher (eq. 10).

    The loss is averaged over all queries, so that the few reliable masks of a batch do not count for more. It is 0
    before the teacher starts.

    Args:
        stride: input pixels per cell of the mask grid.
        weight: gamma, weight of the loss (eq. 11).
        triton: use Triton kernels on devices that run them; the results are equal.
    """

    loss_names: tuple[str, ...] = (NAME,)
    fields: tuple[str, ...] = ()
    optional_fields: tuple[str, ...] = ("pseudo_masks", "pseudo_weights")
    warmup_iters: Mapping[str, int] = {}

    @configurable
    def __init__(self, *, stride: int, weight: float = 4.0, triton: bool = True) -> None:
        self.stride, self.weight, self.triton = stride, weight, triton

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read the arguments from ``MODEL.DISTILL`` and ``MODEL.CONDINST``."""
        return {
            "stride": cfg.MODEL.CONDINST.MASK_OUT_STRIDE,
            "weight": cfg.MODEL.DISTILL.LOSS_WEIGHT,
            "triton": cfg.MODEL.TRITON,
        }

    @torch.no_grad()
    def targets(
        self, images: Tensor, image_sizes: list[tuple[int, int]], annotations: Annotations
    ) -> PseudoMaskTargets | None:
        """Pad the pseudo masks to (M, H/s, W/s), see ``Supervision.targets``; None before the teacher starts."""
        if "pseudo_masks" not in annotations:
            return None
        height, width = images.shape[2] // self.stride, images.shape[3] // self.stride
        masks = [
            F.pad(mask.float(), (0, width - mask.shape[2], 0, height - mask.shape[1]))
            for mask in annotations["pseudo_masks"]
        ]
        return PseudoMaskTargets(torch.cat(masks), torch.cat(annotations["pseudo_weights"]))

    def losses(
        self, predictions: MaskPredictions, queries: Queries, targets: PseudoMaskTargets | None, weight: Tensor
    ) -> dict[str, Tensor]:
        """Compute the dice loss with weights (Q,), see ``Supervision.losses``."""
        logits = predictions.logits
        if targets is None:
            values = (logits[:, 0] * 0).sum((1, 2))  # 0, but a function of the logits: every step has the same graph
        else:
            values = dice_loss_from_logits(logits, targets.masks, queries.target_index, triton=self.triton)
            values = values * targets.weights[queries.target_index]
        return {NAME: self.weight * global_mean(values * weight, weight)}
