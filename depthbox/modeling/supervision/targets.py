"""From boxes and images to what the masks are trained with: per image or object, never per query."""

from __future__ import annotations

import math
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops import cells_inside, depth_on_grid, like_edges, rgb_to_lab
from ...structures import Annotations, MaskTargets


class MaskSupervision(nn.Module):
    """Builds ``MaskTargets``: edges between pixels of like colour or depth, depth, and true masks, where used.

    Args:
        supervision: "box", "mask" or "mixed".
        stride: input pixels per cell of the mask grid.
        rgb: the images' channels are RGB (else BGR).
        color_threshold: least colour similarity of a like pair.
        size, dilation: the kernel of neighbours.
        bottom_pixels_removed: rows at the bottom of the original image that are no neighbours.
        uses_depth_edges: compare the depth of neighbours, for the depth consistency loss.
        depth_threshold: tau_d, S_d of a like pair lies above it.
        depth_scale: kappa of S_d.
    """

    @configurable
    def __init__(
        self,
        *,
        supervision: str,
        stride: int,
        rgb: bool,
        color_threshold: float,
        size: int,
        dilation: int,
        bottom_pixels_removed: int,
        uses_depth_edges: bool = False,
        depth_threshold: float = 0.5,
        depth_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.supervision, self.stride, self.rgb = supervision, stride, rgb
        self.color_threshold, self.size, self.dilation = color_threshold, size, dilation
        self.bottom_pixels_removed = bottom_pixels_removed
        self.uses_depth_edges = uses_depth_edges
        self.depth_threshold, self.depth_scale = depth_threshold, depth_scale

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        node, depth = cfg.MODEL.BOXINST, cfg.MODEL.DEPTH
        return {
            "supervision": cfg.MODEL.MASK_SUPERVISION,
            "stride": cfg.MODEL.CONDINST.MASK_OUT_STRIDE,
            "rgb": cfg.INPUT.FORMAT == "RGB",
            "color_threshold": node.PAIRWISE.COLOR_THRESH,
            "size": node.PAIRWISE.SIZE,
            "dilation": node.PAIRWISE.DILATION,
            "bottom_pixels_removed": node.BOTTOM_PIXELS_REMOVED,
            "uses_depth_edges": depth.CONSISTENCY and cfg.MODEL.MASK_SUPERVISION != "mask",
            "depth_threshold": depth.THRESH,
            "depth_scale": depth.SCALE,
        }

    @torch.no_grad()
    def forward(self, images: Tensor, image_sizes: list[tuple[int, int]], annotations: Annotations) -> MaskTargets:
        """Targets of a batch.

        Args:
            images: (B, 3, H, W) in [0, 255], zero-padded, not normalised.
            image_sizes: (height, width) of each image without padding.
            annotations: of these images.
        """
        size = (images.shape[2], images.shape[3])
        depth = color_edges = depth_edges = None
        if annotations.depth is not None:
            depth = torch.cat([depth_on_grid(single, size, self.stride) for single in annotations.depth])
        if self.supervision != "mask":
            valid = self._valid(images, image_sizes, annotations.original_heights)
            color_edges = self.color_edges(images, valid)
            if self.uses_depth_edges:
                assert depth is not None
                depth_edges = self.depth_edges(depth, valid)
        masks, has_mask = annotations.masks, annotations.has_mask
        pseudo, weights = annotations.pseudo_masks, annotations.pseudo_weights
        return MaskTargets(
            torch.cat(annotations.boxes),
            color_edges=color_edges,
            depth_edges=depth_edges,
            depth=depth,
            masks=torch.cat([self._sample(mask, size) for mask in masks]) if masks is not None else None,
            has_mask=torch.cat(has_mask) if has_mask is not None else None,
            pseudo_masks=torch.cat([self._extend(mask, size) for mask in pseudo]) if pseudo is not None else None,
            pseudo_weights=torch.cat(weights) if weights is not None else None,
        )

    def color_edges(self, images: Tensor, valid: Tensor) -> Tensor:
        """Packed like-colour edges (B, H/s, W/s) of images (B, 3, H, W) in [0, 255]; valid (B, H/s, W/s)."""
        small = F.avg_pool2d(images.float(), self.stride)
        rgb = small if self.rgb else small.flip(1)
        lab = rgb_to_lab(rgb.floor() / 255)
        # exp(-d / 2) >= threshold
        limit = -2 * math.log(self.color_threshold) if self.color_threshold > 0 else math.inf
        return like_edges(lab, valid, limit, self.size, self.dilation)

    def depth_edges(self, depth: Tensor, valid: Tensor) -> Tensor:
        """Packed edges of like depth, S_d > tau_d (eq. 4), from depth and valid on the grid, (B, H/s, W/s) each."""
        # exp(-kappa |d|) > tau_d
        limit = -math.log(self.depth_threshold) / self.depth_scale if self.depth_threshold > 0 else math.inf
        return like_edges(depth[:, None], valid, limit, self.size, self.dilation, inclusive=False)

    def _valid(self, images: Tensor, sizes: list[tuple[int, int]], original_heights: list[int]) -> Tensor:
        grid = (images.shape[2] // self.stride, images.shape[3] // self.stride)
        valid = []
        for (height, width), original in zip(sizes, original_heights, strict=True):
            cut = int(self.bottom_pixels_removed * height / original) if self.bottom_pixels_removed > 0 else 0
            valid.append(cells_inside(grid, height - cut, width, self.stride, images.device))
        return torch.stack(valid)

    def _sample(self, masks: Tensor, padded: tuple[int, int]) -> Tensor:
        start, stride = self.stride // 2, self.stride
        canvas = F.pad(masks, (0, padded[1] - masks.shape[2], 0, padded[0] - masks.shape[1]))
        return canvas[:, start::stride, start::stride]

    def _extend(self, masks: Tensor, padded: tuple[int, int]) -> Tensor:
        height, width = padded[0] // self.stride, padded[1] // self.stride
        return F.pad(masks.float(), (0, width - masks.shape[2], 0, height - masks.shape[1]))
