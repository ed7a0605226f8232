"""Edges by unfolding; colors are converted to LAB by scikit-image on the CPU, image by image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...modeling.supervision.targets import MaskSupervision
from .masks import unfold_neighbors


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


class BaselineSupervision(MaskSupervision):
    """Supervision whose edges are similarities (B, 8, H, W) in [0, 1] instead of packed bits."""

    @classmethod
    def like(cls, other: MaskSupervision) -> BaselineSupervision:
        """Create a baseline with the settings of another supervision."""
        return cls(
            supervision=other.supervision,
            stride=other.stride,
            rgb=other.rgb,
            color_threshold=other.color_threshold,
            size=other.size,
            dilation=other.dilation,
            bottom_pixels_removed=other.bottom_pixels_removed,
            uses_depth_edges=other.uses_depth_edges,
            depth_threshold=other.depth_threshold,
            depth_scale=other.depth_scale,
        )

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
