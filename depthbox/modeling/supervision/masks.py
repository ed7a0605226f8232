"""Supervision by ground truth masks: dice loss (CondInst)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor
from torch.nn import functional as F

from ...losses import dice_loss_from_logits
from ...structures import Annotations, MaskPredictions, Queries
from .base import global_mean

NAME = "loss_mask"


class MaskSupervision:
    """Dice loss between predicted and ground truth masks.

    Args:
        stride: input pixels per cell of the mask grid.
        triton: use Triton kernels on devices that run them; the results are equal.
    """

    loss_names: tuple[str, ...] = (NAME,)
    fields: tuple[str, ...] = ("gt_masks",)
    optional_fields: tuple[str, ...] = ()
    warmup_iters: Mapping[str, int] = {}

    @configurable
    def __init__(self, *, stride: int, triton: bool = True) -> None:
        self.stride, self.triton = stride, triton

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read the arguments from ``MODEL.CONDINST``."""
        return {"stride": cfg.MODEL.CONDINST.MASK_OUT_STRIDE, "triton": cfg.MODEL.TRITON}

    @torch.no_grad()
    def targets(self, images: Tensor, image_sizes: list[tuple[int, int]], annotations: Annotations) -> Tensor:
        """Sample the masks on the mask grid, (M, H/s, W/s) bool, see ``Supervision.targets``."""
        height, width = images.shape[2:]
        start, stride = self.stride // 2, self.stride
        masks = []
        for mask in annotations["gt_masks"]:
            canvas = F.pad(mask, (0, width - mask.shape[2], 0, height - mask.shape[1]))
            masks.append(canvas[:, start::stride, start::stride])
        return torch.cat(masks)

    def losses(
        self, predictions: MaskPredictions, queries: Queries, targets: Tensor, weight: Tensor
    ) -> dict[str, Tensor]:
        """Compute the dice loss with weights (Q,), see ``Supervision.losses``."""
        values = dice_loss_from_logits(predictions.logits, targets, queries.target_index, triton=self.triton)
        return {NAME: global_mean(values * weight, weight)}
