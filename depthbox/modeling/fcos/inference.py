"""From dense predictions to detections: threshold, top k per level, class-wise NMS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from .locations import level_locations


@dataclass(frozen=True)
class Detections:
    """Detections of one image, best first.

    Attributes:
        boxes: (N, 4) xyxy, input pixels, not clipped.
        scores: (N,) sqrt(class probability * box quality).
        classes: (N,) int64.
        level, row, column: (N,) int64, the position that predicted each.
        locations: (N, 2) float32, (x, y) of that position in input pixels.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    level: Tensor
    row: Tensor
    column: Tensor
    locations: Tensor


def select_detections(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    quality: Sequence[Tensor],
    strides: Sequence[int],
    *,
    score_threshold: float = 0.05,
    pre_nms_topk: int = 1000,
    nms_threshold: float = 0.6,
    post_nms_topk: int = 100,
    threshold_with_quality: bool = True,
) -> list[Detections]:
    """Select the detections of every image of a batch (FCOS).

    Args:
        logits, deltas, quality: per level (B, C, H, W), (B, 4, H, W) in strides, (B, 1, H, W).
        strides: input pixels per cell of each level.
        score_threshold: least probability of a candidate.
        pre_nms_topk: candidates kept per level.
        nms_threshold: IoU above which the lesser of two detections of a class goes.
        post_nms_topk: detections kept per image.
        threshold_with_quality: compare probability * quality with the threshold, not the probability alone.
    """
    images = []
    for image in range(len(logits[0])):
        candidates = []
        for level, stride in enumerate(strides):
            candidates.append(
                _level_candidates(
                    logits[level][image].float().sigmoid(),
                    deltas[level][image].float(),
                    quality[level][image].float().sigmoid(),
                    level,
                    stride,
                    score_threshold,
                    pre_nms_topk,
                    threshold_with_quality,
                )
            )
        merged = [torch.cat(parts) for parts in zip(*candidates, strict=True)]
        boxes, scores, classes = merged[:3]
        keep = batched_nms(boxes, scores, classes, nms_threshold)[:post_nms_topk]
        images.append(Detections(*(values[keep] for values in merged)))
    return images


def _level_candidates(
    probabilities: Tensor,
    deltas: Tensor,
    quality: Tensor,
    level: int,
    stride: int,
    threshold: float,
    topk: int,
    threshold_with_quality: bool,
) -> tuple[Tensor, ...]:
    num_classes, height, width = probabilities.shape
    ranked = (probabilities * quality).permute(1, 2, 0).flatten()
    compared = ranked if threshold_with_quality else probabilities.permute(1, 2, 0).flatten()
    index = torch.nonzero(compared > threshold).squeeze(1)
    best, order = ranked[index].topk(min(topk, len(index)))
    index = index[order]
    cell = torch.div(index, num_classes, rounding_mode="floor")
    locations = level_locations(height, width, stride, probabilities.device)[cell]
    sides = deltas.flatten(1).t()[cell] * stride
    boxes = torch.cat((locations - sides[:, :2], locations + sides[:, 2:]), dim=1)
    row = torch.div(cell, width, rounding_mode="floor")
    return boxes, best.sqrt(), index % num_classes, torch.full_like(cell, level), row, cell % width, locations
