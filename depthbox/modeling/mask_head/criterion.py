"""Losses of the masks: from boxes, from masks, or from whichever an object has."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn

from ...losses import dice_loss, pairwise_loss, projection_loss_from_logits
from ...ops import box_extents
from ...structures import MaskTargets, Queries
from ..distributed import mean_over_processes, world_size


class MaskCriterion(nn.Module):
    """Losses of the mask logits, in float32 whatever the network runs in.

    ``box``: projection and colour pairwise loss (BoxInst). ``mask``: dice with the true mask (CondInst). ``mixed``:
    all three, each over the queries whose object has the kind of annotation. The normalisers are those of all
    processes together, so that n processes train as one.

    Args:
        supervision: "box", "mask" or "mixed".
        stride: input pixels per cell of the mask logits.
        size, dilation: the kernel of neighbours of the pairwise loss.
    """

    @configurable
    def __init__(self, *, supervision: str, stride: int, size: int, dilation: int) -> None:
        super().__init__()
        if supervision not in ("box", "mask", "mixed"):
            raise ValueError(f"MODEL.MASK_SUPERVISION must be box, mask or mixed, got {supervision!r}")
        self.supervision, self.stride, self.size, self.dilation = supervision, stride, size, dilation

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {
            "supervision": cfg.MODEL.MASK_SUPERVISION,
            "stride": cfg.MODEL.CONDINST.MASK_OUT_STRIDE,
            "size": cfg.MODEL.BOXINST.PAIRWISE.SIZE,
            "dilation": cfg.MODEL.BOXINST.PAIRWISE.DILATION,
        }

    def forward(self, logits: Tensor, queries: Queries, targets: MaskTargets) -> dict[str, Tensor]:
        """Losses by name, scalars, before any warm-up; the names depend on ``supervision`` only.

        Args:
            logits: (Q, 1, H, W) before the sigmoid.
            queries: whose masks these are.
            targets: of the objects that the queries stand for.
        """
        if logits.dtype.itemsize < 4:
            logits = logits.float()
        by_mask = self._by_mask(queries, targets)
        losses: dict[str, Tensor] = {}
        if self.supervision != "mask":
            losses.update(self._box_losses(logits, queries, targets, ~by_mask))
        if self.supervision != "box":
            losses["loss_mask"] = self._mask_loss(logits, queries, targets, by_mask)
        return losses

    def _by_mask(self, queries: Queries, targets: MaskTargets) -> Tensor:
        if targets.has_mask is not None and self.supervision == "mixed":
            return targets.has_mask[queries.target_index]
        return torch.full_like(queries.target_index, self.supervision == "mask", dtype=torch.bool)

    def _box_losses(self, logits: Tensor, queries: Queries, targets: MaskTargets, use: Tensor) -> dict[str, Tensor]:
        assert targets.color_edges is not None
        height, width = logits.shape[2:]
        rows, columns = box_extents(targets.boxes[queries.target_index], height, width, self.stride)
        projection = projection_loss_from_logits(logits, rows, columns)
        sums, pairs = pairwise_loss(
            logits,
            targets.color_edges,
            queries.image_index,
            rows & use[:, None],
            columns,
            self.size,
            self.dilation,
        )
        weight = use.to(logits.dtype)
        return {
            "loss_projection": _global_mean(projection * weight, weight),
            "loss_color_pairwise": _global_mean(sums, pairs),
        }

    def _mask_loss(self, logits: Tensor, queries: Queries, targets: MaskTargets, use: Tensor) -> Tensor:
        assert targets.masks is not None
        truth = targets.masks[queries.target_index][:, None]
        weight = use.to(logits.dtype)
        return _global_mean(dice_loss(logits.sigmoid(), truth) * weight, weight)


def _global_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Sum of the values over the mean of the summed weights of all processes (at least 1 in all)."""
    return values.sum() / mean_over_processes(weights.sum()).clamp(min=1 / world_size())
