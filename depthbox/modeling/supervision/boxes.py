"""Supervision by boxes: projection loss, color pairwise loss (BoxInst) and depth consistency loss (eq. 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor
from torch.nn import functional as F

from ...losses import box_losses
from ...ops import box_extents, cells_inside, rgb_to_lab, similar_edges
from ...structures import Annotations, MaskPredictions, Queries
from .base import global_mean
from .depth import depth_maps

PROJECTION, COLOR, DEPTH = "loss_projection", "loss_color_pairwise", "loss_depth_consistency"


@dataclass(frozen=True)
class BoxTargets:
    """Boxes and similar pixel pairs of a batch on the mask grid.

    Attributes:
        rows, columns: (M, H) and (M, W) bool, rows and columns of the grid inside each object's box.
        edges: (B, H, W) integer bit sets of similar pairs by the name of their loss, see ``ops.pack_edges``.
    """

    rows: Tensor
    columns: Tensor
    edges: dict[str, Tensor]


class BoxSupervision:
    """Projection and pairwise losses of BoxInst, and the depth consistency loss (eq. 4) if its weight is positive.

    A weight of 0 excludes a query from all three losses. The pairwise losses treat all other weights as 1.

    Args:
        stride: input pixels per cell of the mask grid.
        rgb: whether the images' channels are in RGB order (else BGR).
        color_threshold: minimum color similarity of a similar pair, in [0, 1].
        size, dilation: size and dilation of the kernel of neighbors.
        bottom_pixels_removed: rows at the bottom of the original image that are not compared.
        consistency_weight: weight of the depth consistency loss; 0 = off.
        depth_threshold: tau_d; S_d of a similar pair is greater.
        depth_scale: kappa of S_d.
        color_warmup, depth_warmup: iterations over which the pairwise losses grow to their full weight.
        triton: use Triton kernels on devices that run them; the results are equal.
    """

    optional_fields: tuple[str, ...] = ()

    @configurable
    def __init__(
        self,
        *,
        stride: int,
        rgb: bool,
        color_threshold: float,
        size: int,
        dilation: int,
        bottom_pixels_removed: int = 0,
        consistency_weight: float = 0.0,
        depth_threshold: float = 0.5,
        depth_scale: float = 1.0,
        color_warmup: int = 0,
        depth_warmup: int = 0,
        triton: bool = True,
    ) -> None:
        self.stride, self.rgb, self.color_threshold = stride, rgb, color_threshold
        self.size, self.dilation, self.bottom_pixels_removed = size, dilation, bottom_pixels_removed
        self.depth_threshold, self.depth_scale, self.triton = depth_threshold, depth_scale, triton
        self.pair_weights, warmup_iters = {COLOR: 1.0}, {COLOR: color_warmup}
        if consistency_weight > 0:
            self.pair_weights[DEPTH], warmup_iters[DEPTH] = consistency_weight, depth_warmup
        self.loss_names: tuple[str, ...] = (PROJECTION, *self.pair_weights)
        self.fields: tuple[str, ...] = ("depth",) if consistency_weight > 0 else ()
        self.warmup_iters: Mapping[str, int] = warmup_iters

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read the arguments from ``MODEL.BOXINST``, ``MODEL.DEPTH`` and ``INPUT.FORMAT``."""
        box, depth = cfg.MODEL.BOXINST, cfg.MODEL.DEPTH
        return {
            "stride": cfg.MODEL.CONDINST.MASK_OUT_STRIDE,
            "rgb": cfg.INPUT.FORMAT == "RGB",
            "color_threshold": box.PAIRWISE.COLOR_THRESH,
            "size": box.PAIRWISE.SIZE,
            "dilation": box.PAIRWISE.DILATION,
            "bottom_pixels_removed": box.BOTTOM_PIXELS_REMOVED,
            "consistency_weight": depth.CONSISTENCY_WEIGHT if depth.CONSISTENCY else 0.0,
            "depth_threshold": depth.THRESH,
            "depth_scale": depth.SCALE,
            "color_warmup": box.PAIRWISE.WARMUP_ITERS,
            "depth_warmup": depth.WARMUP_ITERS,
            "triton": cfg.MODEL.TRITON,
        }

    @torch.no_grad()
    def targets(self, images: Tensor, image_sizes: list[tuple[int, int]], annotations: Annotations) -> BoxTargets:
        """Build boxes and similar pairs from images (B, 3, H, W), see ``Supervision.targets``."""
        height, width = images.shape[2:]
        valid = self.valid_cells(images, image_sizes, annotations.original_heights)
        edges = {COLOR: self.color_edges(images, valid)}
        if DEPTH in self.pair_weights:
            depth = depth_maps(annotations["depth"], (height, width), self.stride)
            edges[DEPTH] = self.depth_edges(depth, valid)
        boxes = torch.cat(annotations.boxes)
        rows, columns = box_extents(boxes, height // self.stride, width // self.stride, self.stride)
        return BoxTargets(rows, columns, edges)

    def losses(
        self, predictions: MaskPredictions, queries: Queries, targets: BoxTargets, weight: Tensor
    ) -> dict[str, Tensor]:
        """Compute all losses of the boxes in one pass, with weights (Q,), see ``Supervision.losses``."""
        projection, sums, pairs = box_losses(
            predictions.logits,
            [targets.edges[name] for name in self.pair_weights],
            queries.image_index,
            targets.rows[queries.target_index] & (weight > 0)[:, None],
            targets.columns[queries.target_index],
            self.size,
            self.dilation,
            triton=self.triton,
        )
        losses = {PROJECTION: global_mean(projection * weight, weight)}
        for (name, factor), values, count in zip(self.pair_weights.items(), sums, pairs, strict=True):
            losses[name] = factor * global_mean(values, count)
        return losses

    def color_edges(self, images: Tensor, valid: Tensor) -> Tensor:
        """Return the packed pairs of similar color.

        Args:
            images: (B, 3, H, W) in [0, 255].
            valid: (B, H/s, W/s) bool for a stride s, see ``valid_cells``.

        Returns:
            (B, H/s, W/s) integers, see ``ops.pack_edges``.
        """
        small = F.avg_pool2d(images.float(), self.stride)
        rgb = small if self.rgb else small.flip(1)
        lab = rgb_to_lab(rgb.floor() / 255)
        # exp(-d / 2) >= threshold
        limit = -2 * math.log(self.color_threshold) if self.color_threshold > 0 else math.inf
        return similar_edges(lab, valid, limit, self.size, self.dilation)

    def depth_edges(self, depth: Tensor, valid: Tensor) -> Tensor:
        """Return the packed pairs of similar depth, S_d > tau_d (eq. 3 and 4).

        Args:
            depth: (B, H/s, W/s) in [0, 1] for a stride s.
            valid: (B, H/s, W/s) bool, see ``valid_cells``.

        Returns:
            (B, H/s, W/s) integers, see ``ops.pack_edges``.
        """
        # exp(-kappa |d|) > tau_d
        limit = -math.log(self.depth_threshold) / self.depth_scale if self.depth_threshold > 0 else math.inf
        return similar_edges(depth[:, None], valid, limit, self.size, self.dilation, inclusive=False)

    def valid_cells(self, images: Tensor, sizes: list[tuple[int, int]], original_heights: list[int]) -> Tensor:
        """Return the cells that may be compared: inside the image and above the removed rows.

        Args:
            images: (B, 3, H, W), padded.
            sizes: (height, width) of each image without padding, pixels.
            original_heights: height of each image before it was resized, pixels.

        Returns:
            (B, H/s, W/s) bool for a stride s.
        """
        grid = (images.shape[2] // self.stride, images.shape[3] // self.stride)
        valid = []
        for (height, width), original in zip(sizes, original_heights, strict=True):
            removed = int(self.bottom_pixels_removed * height / original) if self.bottom_pixels_removed > 0 else 0
            valid.append(cells_inside(grid, height - removed, width, self.stride, images.device))
        return torch.stack(valid)
