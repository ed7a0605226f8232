"""Color spaces."""

from __future__ import annotations

import torch
from torch import Tensor

# sRGB primaries to CIE XYZ, each row divided by the D65/2deg reference white.
_RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIE LAB (illuminant D65, 2 degree observer), as ``skimage.color.rgb2lab``.

    Args:
        rgb: (B, 3, H, W), any floating type, sRGB in [0, 1].

    Returns:
        (B, 3, H, W) of the same dtype: L in [0, 100], a and b roughly in [-128, 128].

    Raises:
        ValueError: the shape is not (B, 3, H, W), or the dtype is not a floating type.

    Example:
        >>> import torch
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> [round(value, 1) for value in rgb_to_lab(red).flatten().tolist()]
        [53.2, 80.1, 67.2]
    """
    if rgb.dim() != 4 or rgb.shape[1] != 3 or not rgb.is_floating_point():
        raise ValueError(
            f"rgb_to_lab requires floats in [0, 1] of shape (B, 3, H, W), got {rgb.dtype} {tuple(rgb.shape)}"
        )
    linear = torch.where(rgb > 0.04045, ((rgb.clamp(min=0) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = torch.tensor(_RGB_TO_XYZ, dtype=rgb.dtype) / torch.tensor(_WHITE, dtype=rgb.dtype)[:, None]
    matrix = matrix.to(rgb.device, non_blocking=True)
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear)
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-12) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=1)
