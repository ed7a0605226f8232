"""From predictions on the mask grid to what a user is given: bool masks of the original image, a depth each."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...ops import aligned_upsample


def paste_masks(
    logits: Tensor,
    stride: int,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    *,
    threshold: float = 0.5,
    chunk_pixels: int = 2**24,
) -> Tensor:
    """Resample mask probabilities to the output image and cut them at the threshold, a few masks at a time.

    Args:
        logits: (N, 1, H, W) before the sigmoid, ``stride`` input pixels per cell.
        stride: as above.
        image_size: (height, width) of the network's input without padding.
        output_size: (height, width) of the result.
        threshold: least probability of the mask, exclusive.
        chunk_pixels: output pixels that are resampled at once; bounds the memory, not the result.

    Returns:
        (N, height, width) bool.
    """
    masks = torch.zeros((len(logits), *output_size), dtype=torch.bool, device=logits.device)
    largest = max(output_size[0] * output_size[1], logits.shape[2] * logits.shape[3] * stride * stride, 1)
    step = max(chunk_pixels // largest, 1)
    for start in range(0, len(logits), step):
        scores = aligned_upsample(logits[start : start + step].float().sigmoid(), stride)
        scores = scores[:, :, : image_size[0], : image_size[1]]
        if scores.shape[2:] != output_size:
            scores = F.interpolate(scores, size=output_size, mode="bilinear", align_corners=False)
        torch.gt(scores[:, 0], threshold, out=masks[start : start + step])
    return masks


def mean_depth(logits: Tensor, depth_logits: Tensor) -> Tensor:
    """Mean predicted depth (N,) in [0, 1], 1 = near, of each mask's cells; 0 where a mask is empty.

    Args:
        logits: (N, 1, H, W) mask before the sigmoid.
        depth_logits: (N, 1, H, W) instance depth before the sigmoid.
    """
    inside = (logits > 0).float()
    total = (depth_logits.float().sigmoid() * inside).sum((1, 2, 3))
    return total / inside.sum((1, 2, 3)).clamp(min=1)
