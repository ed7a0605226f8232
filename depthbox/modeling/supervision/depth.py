"""Supervision of the instance depth by pseudo depth (eq. 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor

from ...losses import instance_depth_loss_from_logits
from ...ops import box_extents, depth_on_grid
from ...structures import Annotations, MaskPredictions, Queries
from .base import global_mean

NAME = "loss_depth"


@dataclass(frozen=True)
class DepthTargets:
    """Pseudo depth and boxes of a batch on the mask grid.

    Attributes:
        depth: (B, H, W) float32 in [0, 1], 1 = near.
        rows, columns: (M, H) and (M, W) bool, rows and columns of the grid inside each object's box.
    """

    depth: Tensor
    rows: Tensor
    columns: Tensor


class DepthSupervision:
    """Instance depth loss: squared error between predicted and pseudo depth inside the box (eq. 2).

    Args:
        stride: input pixels per cell of the mask grid.
        weight: weight of the loss.
        triton: use Triton kernels on devices that run them; the results are equal.
    """

    loss_names: tuple[str, ...] = (NAME,)
    fields: tuple[str, ...] = ("depth",)
    optional_fields: tuple[str, ...] = ()
    warmup_iters: Mapping[str, int] = {}

    @configurable
    def __init__(self, *, stride: int, weight: float = 1.0, triton: bool = True) -> None:
        self.stride, self.weight, self.triton = stride, weight, triton

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read the arguments from ``MODEL.DEPTH`` and ``MODEL.CONDINST``."""
        return {
            "stride": cfg.MODEL.CONDINST.MASK_OUT_STRIDE,
            "weight": cfg.MODEL.DEPTH.LOSS_WEIGHT,
            "triton": cfg.MODEL.TRITON,
        }

    @torch.no_grad()
    def targets(self, images: Tensor, image_sizes: list[tuple[int, int]], annotations: Annotations) -> DepthTargets:
        """Build depth (B, H/s, W/s) and boxes on the mask grid, see ``Supervision.targets``."""
        depth = depth_maps(annotations["depth"], (images.shape[2], images.shape[3]), self.stride)
        rows, columns = box_extents(torch.cat(annotations.boxes), depth.shape[1], depth.shape[2], self.stride)
        return DepthTargets(depth, rows, columns)

    def losses(
        self, predictions: MaskPredictions, queries: Queries, targets: DepthTargets, weight: Tensor
    ) -> dict[str, Tensor]:
        """Compute the instance depth loss with weights (Q,), see ``Supervision.losses``.

        Raises:
            ValueError: the network has no depth layer.
        """
        if predictions.depth_logits is None:
            raise ValueError("the instance depth loss needs predicted depth: set MODEL.DEPTH.LAYER True")
        values = instance_depth_loss_from_logits(
            predictions.depth_logits,
            targets.depth,
            queries.image_index,
            targets.rows[queries.target_index],
            targets.columns[queries.target_index],
            triton=self.triton,
        )
        return {NAME: self.weight * global_mean(values * weight, weight)}


def depth_maps(depth: Sequence[Tensor], padded: tuple[int, int], stride: int) -> Tensor:
    """Return the depth (B, H/s, W/s) of a batch on the mask grid.

    Args:
        depth: (1, h, w) float32 in [0, 1] of each image without padding.
        padded: (H, W) of the padded batch, pixels.
        stride: s, input pixels per cell.
    """
    return torch.cat([depth_on_grid(single, padded, stride) for single in depth])
