"""Mask output in the usual way: dense pasting at full size with encoding, and COCO evaluation by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .head import aligned_bilinear


def paste_rles(
    logits: Tensor, stride: int, image_size: tuple[int, int], output_size: tuple[int, int], threshold: float = 0.5
) -> list[dict[str, Any]]:
    """Encode mask logits (N, 1, h, w) as COCO RLEs: all resampled at once to full size, binarized at the threshold."""
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
    """Encode mask logits (N, 1, h, w) one by one with our own definition, the reference of bit-identical results."""
    chunks = logits.split(1)
    return [rle for chunk in chunks for rle in _paste_dense(chunk, stride, image_size, output_size, threshold)]


def pycocotools_stats(json_file: str, results: Sequence[dict[str, Any]], task: str) -> list[float]:
    """Compute AP, AP50, AP75, APs, APm, APl with pycocotools, in percent; NaN for a size without objects.

    At most 100 detections per image are counted.

    Args:
        json_file: ground truth, a COCO JSON file.
        results: detections in COCO's result format; not modified.
        task: "bbox" or "segm".
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    # loadRes writes into its entries, and treats any entry with a box as a box.
    field = "bbox" if task == "bbox" else "segmentation"
    entries = [{key: entry[key] for key in ("image_id", "category_id", "score", field)} for entry in results]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(json_file)
        evaluation = COCOeval(truth, truth.loadRes(entries), task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [100 * float(value) if value >= 0 else float("nan") for value in evaluation.stats[:6]]


def _paste_dense(
    logits: Tensor, stride: int, image_size: tuple[int, int], output_size: tuple[int, int], threshold: float
) -> list[dict[str, Any]]:
    from ...evaluation.coco_results import encode_masks
    from ...ops import aligned_upsample

    scores = aligned_upsample(logits.float().sigmoid(), stride)[:, :, : image_size[0], : image_size[1]]
    if scores.shape[2:] != torch.Size(output_size):
        scores = F.interpolate(scores, size=output_size, mode="bilinear", align_corners=False)
    return encode_masks(scores[:, 0] > threshold)
