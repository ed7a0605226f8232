"""Pasting of all masks at once at full size as floats, then encoding."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .head import aligned_bilinear


def paste_rles(
    logits: Tensor, stride: int, image_size: tuple[int, int], output_size: tuple[int, int], threshold: float = 0.5
) -> list[dict[str, Any]]:
    """COCO RLEs of masks (N, 1, h, w) before the sigmoid, resampled to the output image and cut at the threshold."""
    import pycocotools.mask as mask_util

    scores = aligned_bilinear(logits.sigmoid(), stride)[:, :, : image_size[0], : image_size[1]]
    scores = F.interpolate(scores, size=output_size, mode="bilinear", align_corners=False)
    masks = (scores[:, 0] > threshold).float()
    bits = masks.cpu().numpy().astype(np.uint8)
    rles = [mask_util.encode(np.asfortranarray(mask)) for mask in bits]
    return [{"size": rle["size"], "counts": rle["counts"].decode("ascii")} for rle in rles]


def paste_rles_one_by_one(
    logits: Tensor, stride: int, image_size: tuple[int, int], output_size: tuple[int, int], threshold: float = 0.5
) -> list[dict[str, Any]]:
    """The same, a mask at a time: what bit-identical means, in little memory."""
    chunks = logits.split(1)
    return [rle for chunk in chunks for rle in _dense(chunk, stride, image_size, output_size, threshold)]


def _dense(
    logits: Tensor, stride: int, image_size: tuple[int, int], output_size: tuple[int, int], threshold: float
) -> list[dict[str, Any]]:
    from ...evaluation.coco_results import encode_masks
    from ...ops import aligned_upsample

    scores = aligned_upsample(logits.float().sigmoid(), stride)[:, :, : image_size[0], : image_size[1]]
    if scores.shape[2:] != torch.Size(output_size):
        scores = F.interpolate(scores, size=output_size, mode="bilinear", align_corners=False)
    return encode_masks(scores[:, 0] > threshold)
