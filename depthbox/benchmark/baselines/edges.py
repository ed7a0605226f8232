"""Edges by unfolding; colors are converted to LAB by scikit-image on the CPU, image by image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...modeling.supervision.boxes import DEPTH, BoxSupervision
from ...modeling.supervision.depth import depth_maps
from ...structures import Annotations
from .masks import BaselineTargets, unfold_neighbors


def lab_on_cpu(images: Tensor) -> Tensor:
    """Convert RGB images (B, 3, H, W) in [0, 255] to LAB (B, 3, H, W) float32 on the CPU; the device is kept.

    Raises:
        ImportError: scikit-image is not installed.
    """
    try:
        from skimage import color
    except ImportError as error:
        raise ImportError("the baseline of color edges needs scikit-image: pip install 'depthbox[bench]'") from error
    converted = []
    for image in images:
        pixels = image.byte().permute(1, 2, 0).cpu().numpy()
        lab = torch.as_tensor(color.rgb2lab(pixels), dtype=torch.float32, device=images.device)
        converted.append(lab.permute(2, 0, 1))
    return torch.stack(converted)


class BaselineSupervision(BoxSupervision):
    """Supervision whose edges are similarities (B, 8, H, W) in [0, 1] instead of packed bits."""

    @classmethod
    def like(cls, other: BoxSupervision) -> BaselineSupervision:
        """Create a baseline with the settings of another supervision."""
        return cls(
            stride=other.stride,
            rgb=other.rgb,
            color_threshold=other.color_threshold,
            size=other.size,
            dilation=other.dilation,
            bottom_pixels_removed=other.bottom_pixels_removed,
            consistency_weight=other.pair_weights.get(DEPTH, 0.0),
            depth_threshold=other.depth_threshold,
            depth_scale=other.depth_scale,
        )

    def similarities(
        self, images: Tensor, image_sizes: list[tuple[int, int]], annotations: Annotations
    ) -> BaselineTargets:
        """Build the targets of ``BaselineCriterion`` from padded images (B, 3, H, W) in [0, 255]."""
        valid = self.valid_cells(images, image_sizes, annotations.original_heights)
        depth = depth_maps(annotations["depth"], (images.shape[2], images.shape[3]), self.stride)
        color_similarity, depth_similarity = self.color_edges(images, valid), self.depth_edges(depth, valid)
        return BaselineTargets(torch.cat(annotations.boxes), color_similarity, depth_similarity, depth)

    def color_edges(self, images: Tensor, valid: Tensor) -> Tensor:
        """Compute color similarities (B, 8, h, w) of images (B, 3, H, W) in [0, 255]; ``valid`` is (B, h, w) bool."""
        small = F.avg_pool2d(images.float(), self.stride)
        lab = lab_on_cpu(small if self.rgb else small.flip(1))
        distance = torch.norm(lab[:, :, None] - unfold_neighbors(lab, self.size, self.dilation), dim=1)
        return torch.exp(-0.5 * distance) * self._neighbors_valid(valid)

    def depth_edges(self, depth: Tensor, valid: Tensor) -> Tensor:
        """Compute depth similarities (B, 8, h, w) of depth (B, h, w) in [0, 1]; ``valid`` is (B, h, w) bool."""
        values = depth[:, None]
        distance = (values[:, :, None] - unfold_neighbors(values, self.size, self.dilation)).abs()[:, 0]
        return torch.exp(-self.depth_scale * distance) * self._neighbors_valid(valid)

    def _neighbors_valid(self, valid: Tensor) -> Tensor:
        return unfold_neighbors(valid[:, None].float(), self.size, self.dilation)[:, 0]
