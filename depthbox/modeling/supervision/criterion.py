"""Losses of the masks: from boxes, from masks, or from whichever an object has; and of their depth."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn

from ...losses import box_losses, dice_loss_from_logits, instance_depth_loss_from_logits
from ...ops import box_extents
from ...structures import MaskPredictions, MaskTargets, Queries
from ..distributed import mean_over_processes, world_size


class MaskCriterion(nn.Module):
    """Losses of masks and instance depth, in float32 whatever the network runs in (eq. 6).

    ``box``: projection and colour pairwise loss (BoxInst), and the depth consistency loss where it is on. ``mask``:
    dice with the true mask (CondInst). ``mixed``: all of them, each over the queries whose object has the kind of
    annotation. The instance depth loss, where it is on, takes all queries. The normalisers are those of all processes
    together, so that n processes train as one.

    Args:
        supervision: "box", "mask" or "mixed".
        stride: input pixels per cell of the mask logits.
        size, dilation: the kernel of neighbours of the pairwise losses.
        depth_weight: of the instance depth loss; 0 = off.
        consistency_weight: of the depth consistency loss; 0 = off.
        pseudo_weight: gamma, of the dice loss with the teacher's masks (eq. 10); 0 = off.
        triton: use Triton kernels where they run; the results are equal.
    """

    @configurable
    def __init__(
        self,
        *,
        supervision: str,
        stride: int,
        size: int,
        dilation: int,
        depth_weight: float = 0.0,
        consistency_weight: float = 0.0,
        pseudo_weight: float = 0.0,
        triton: bool = True,
    ) -> None:
        super().__init__()
        if supervision not in ("box", "mask", "mixed"):
            raise ValueError(f"MODEL.MASK_SUPERVISION must be box, mask or mixed, got {supervision!r}")
        self.supervision, self.stride, self.size, self.dilation = supervision, stride, size, dilation
        self.depth_weight, self.consistency_weight = depth_weight, consistency_weight
        self.pseudo_weight, self.triton = pseudo_weight, triton

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        depth, distill = cfg.MODEL.DEPTH, cfg.MODEL.DISTILL
        return {
            "supervision": cfg.MODEL.MASK_SUPERVISION,
            "stride": cfg.MODEL.CONDINST.MASK_OUT_STRIDE,
            "size": cfg.MODEL.BOXINST.PAIRWISE.SIZE,
            "dilation": cfg.MODEL.BOXINST.PAIRWISE.DILATION,
            "depth_weight": depth.LOSS_WEIGHT if depth.LAYER else 0.0,
            "consistency_weight": depth.CONSISTENCY_WEIGHT if depth.CONSISTENCY else 0.0,
            "pseudo_weight": distill.LOSS_WEIGHT if distill.ENABLED else 0.0,
            "triton": cfg.MODEL.TRITON,
        }

    def forward(self, predictions: MaskPredictions, queries: Queries, targets: MaskTargets) -> dict[str, Tensor]:
        """Losses by name, scalars, before any warm-up; the names depend on the configuration only.

        Args:
            predictions: masks, and depth where its loss is on.
            queries: whose masks these are.
            targets: of the objects that the queries stand for.
        """
        logits = _full_precision(predictions.logits)
        extents = box_extents(targets.boxes[queries.target_index], logits.shape[2], logits.shape[3], self.stride)
        by_mask = self._by_mask(queries, targets)
        losses: dict[str, Tensor] = {}
        if self.supervision != "mask":
            losses.update(self._box_losses(logits, extents, queries, targets, ~by_mask))
        if self.supervision != "box":
            losses["loss_mask"] = self._mask_loss(logits, queries, targets, by_mask)
        if self.depth_weight > 0:
            losses["loss_depth"] = self._depth_loss(predictions, extents, queries, targets)
        if self.pseudo_weight > 0:
            losses["loss_pseudo_mask"] = self._pseudo_loss(logits, queries, targets)
        return losses

    def _by_mask(self, queries: Queries, targets: MaskTargets) -> Tensor:
        if targets.has_mask is not None and self.supervision == "mixed":
            return targets.has_mask[queries.target_index]
        return torch.full_like(queries.target_index, self.supervision == "mask", dtype=torch.bool)

    def _box_losses(
        self, logits: Tensor, extents: tuple[Tensor, Tensor], queries: Queries, targets: MaskTargets, use: Tensor
    ) -> dict[str, Tensor]:
        assert targets.color_edges is not None
        rows, columns = extents
        edges = {"loss_color_pairwise": (targets.color_edges, 1.0)}
        if self.consistency_weight > 0:
            assert targets.depth_edges is not None
            edges["loss_depth_consistency"] = (targets.depth_edges, self.consistency_weight)
        projection, sums, pairs = box_losses(
            logits,
            [bits for bits, _ in edges.values()],
            queries.image_index,
            rows & use[:, None],
            columns,
            self.size,
            self.dilation,
            triton=self.triton,
        )
        weight = use.to(logits.dtype)
        losses = {"loss_projection": _global_mean(projection * weight, weight)}
        for (name, (_, factor)), values, count in zip(edges.items(), sums, pairs, strict=True):
            losses[name] = factor * _global_mean(values, count)
        return losses

    def _depth_loss(
        self, predictions: MaskPredictions, extents: tuple[Tensor, Tensor], queries: Queries, targets: MaskTargets
    ) -> Tensor:
        assert predictions.depth_logits is not None and targets.depth is not None
        logits = _full_precision(predictions.depth_logits)
        values = instance_depth_loss_from_logits(
            logits, targets.depth, queries.image_index, *extents, triton=self.triton
        )
        return self.depth_weight * _global_mean(values, torch.ones_like(values))

    def _mask_loss(self, logits: Tensor, queries: Queries, targets: MaskTargets, use: Tensor) -> Tensor:
        assert targets.masks is not None
        weight = use.to(logits.dtype)
        values = dice_loss_from_logits(logits, targets.masks, queries.target_index, triton=self.triton)
        return _global_mean(values * weight, weight)

    def _pseudo_loss(self, logits: Tensor, queries: Queries, targets: MaskTargets) -> Tensor:
        """Over all queries, so that a batch with few reliable masks does not count them for more."""
        if targets.pseudo_masks is None or targets.pseudo_weights is None:
            values = (logits[:, 0] * 0).sum((1, 2))  # before the teacher begins
        else:
            values = dice_loss_from_logits(logits, targets.pseudo_masks, queries.target_index, triton=self.triton)
            values = values * targets.pseudo_weights[queries.target_index]
        return self.pseudo_weight * _global_mean(values, torch.ones_like(values))


def _full_precision(values: Tensor) -> Tensor:
    return values.float() if values.dtype.itemsize < 4 else values


def _global_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Sum of the values over the mean of the summed weights of all processes (at least 1 in all)."""
    return values.sum() / mean_over_processes(weights.sum()).clamp(min=1 / world_size())
