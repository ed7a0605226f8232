"""From boxes and images to what the masks are trained with: per image or object, never per query."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops import color_similarity, pack_edges, rgb_to_lab
from ..structures import MaskTargets


class MaskSupervision(nn.Module):
    """Builds ``MaskTargets``: edges between pixels of like colour, and true masks where they are used.

    Args:
        supervision: "box", "mask" or "mixed".
        stride: input pixels per cell of the mask grid.
        rgb: the images' channels are RGB (else BGR).
        color_threshold: least colour similarity of a like pair.
        size, dilation: the kernel of neighbours.
        bottom_pixels_removed: rows at the bottom of the original image that are no neighbours.
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
    ) -> None:
        super().__init__()
        self.supervision, self.stride, self.rgb = supervision, stride, rgb
        self.color_threshold, self.size, self.dilation = color_threshold, size, dilation
        self.bottom_pixels_removed = bottom_pixels_removed

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        node = cfg.MODEL.BOXINST
        return {
            "supervision": cfg.MODEL.MASK_SUPERVISION,
            "stride": cfg.MODEL.CONDINST.MASK_OUT_STRIDE,
            "rgb": cfg.INPUT.FORMAT == "RGB",
            "color_threshold": node.PAIRWISE.COLOR_THRESH,
            "size": node.PAIRWISE.SIZE,
            "dilation": node.PAIRWISE.DILATION,
            "bottom_pixels_removed": node.BOTTOM_PIXELS_REMOVED,
        }

    @torch.no_grad()
    def forward(
        self,
        images: Tensor,
        image_sizes: list[tuple[int, int]],
        original_heights: list[int],
        boxes: list[Tensor],
        masks: list[Tensor] | None,
        has_mask: list[Tensor] | None,
    ) -> MaskTargets:
        """Targets of a batch.

        Args:
            images: (B, 3, H, W) in [0, 255], zero-padded, not normalised.
            image_sizes: (height, width) of each image without padding.
            original_heights: of each image before it was resized.
            boxes: (N_b, 4) xyxy per image, input pixels.
            masks: (N_b, h, w) bool per image at its size, unless ``box``.
            has_mask: (N_b,) bool per image in ``mixed``.
        """
        edges = None
        if self.supervision != "mask":
            valid = self._valid(images, image_sizes, original_heights)
            edges = self.color_edges(images, valid)
        grid_masks = None
        if masks is not None:
            grid_masks = torch.cat([self._sample(mask, (images.shape[2], images.shape[3])) for mask in masks])
        return MaskTargets(torch.cat(boxes), edges, grid_masks, torch.cat(has_mask) if has_mask is not None else None)

    def color_edges(self, images: Tensor, valid: Tensor) -> Tensor:
        """Packed like-colour edges (B, H/s, W/s) of images (B, 3, H, W) in [0, 255]; valid (B, H/s, W/s)."""
        small = F.avg_pool2d(images.float(), self.stride)
        rgb = small if self.rgb else small.flip(1)
        lab = rgb_to_lab(rgb.floor() / 255)
        similarity = color_similarity(lab, valid, self.size, self.dilation)
        return pack_edges((similarity >= self.color_threshold) & (similarity > 0))

    def _valid(self, images: Tensor, sizes: list[tuple[int, int]], original_heights: list[int]) -> Tensor:
        height, width = images.shape[2] // self.stride, images.shape[3] // self.stride
        y = torch.arange(height, device=images.device)[:, None] * self.stride + self.stride // 2
        x = torch.arange(width, device=images.device)[None, :] * self.stride + self.stride // 2
        valid = []
        for (real_height, real_width), original in zip(sizes, original_heights, strict=True):
            cut = int(self.bottom_pixels_removed * real_height / original) if self.bottom_pixels_removed > 0 else 0
            valid.append((y < real_height - cut) & (x < real_width))
        return torch.stack(valid)

    def _sample(self, masks: Tensor, padded: tuple[int, int]) -> Tensor:
        start, stride = self.stride // 2, self.stride
        canvas = F.pad(masks, (0, padded[1] - masks.shape[2], 0, padded[0] - masks.shape[1]))
        return canvas[:, start::stride, start::stride]
