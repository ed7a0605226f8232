"""Detections from dense predictions: score threshold, top k per level, NMS per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from .decode import decode_boxes
from .locations import level_locations


@dataclass(frozen=True)
class Detections:
    """Detections of one image, best first.

    ``detections[index]`` selects by a slice or by a tensor of indices or bools.

    Attributes:
        boxes: (N, 4) float32 xyxy, input pixels, not clipped.
        scores: (N,) float32, sqrt(class probability * box quality).
        classes: (N,) int64.
        level, row, column: (N,) int64, location that predicted each detection.
        locations: (N, 2) float32, (x, y) of that location in input pixels.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    level: Tensor
    row: Tensor
    column: Tensor
    locations: Tensor

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Tensor | slice) -> Detections:
        return Detections(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @staticmethod
    def cat(parts: Sequence[Detections]) -> Detections:
        """Concatenate detections of one image."""
        return Detections(
            **{field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Detections)}
        )


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
    """Select the detections of each image of a batch (FCOS).

    Args:
        logits, deltas, quality: per level (B, C, H, W), (B, 4, H, W) in strides, (B, 1, H, W).
        strides: input pixels per cell of each level.
        score_threshold: minimum probability of a candidate, exclusive.
        pre_nms_topk: number of candidates kept per level.
        nms_threshold: IoU above which the lower-scoring of two detections of a class is removed.
        post_nms_topk: number of detections kept per image.
        threshold_with_quality: compare probability * quality with the threshold instead of the probability alone.
    """
    images = []
    for image in range(len(logits[0])):
        candidates = Detections.cat(
            [
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
                for level, stride in enumerate(strides)
            ]
        )
        keep = batched_nms(candidates.boxes, candidates.scores, candidates.classes, nms_threshold)[:post_nms_topk]
        images.append(candidates[keep])
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
) -> Detections:
    """Return the best candidates of one level of one image, from (C, H, W), (4, H, W) and (1, H, W)."""
    num_classes, height, width = probabilities.shape
    ranked = (probabilities * quality).permute(1, 2, 0).flatten()
    compared = ranked if threshold_with_quality else probabilities.permute(1, 2, 0).flatten()
    index = torch.nonzero(compared > threshold).squeeze(1)
    best, order = ranked[index].topk(min(topk, len(index)))
    index = index[order]
    cell = torch.div(index, num_classes, rounding_mode="floor")
    locations = level_locations(height, width, stride, probabilities.device)[cell]
    return Detections(
        boxes=decode_boxes(locations, deltas.flatten(1).t()[cell], stride),
        scores=best.sqrt(),
        classes=index % num_classes,
        level=torch.full_like(cell, level),
        row=torch.div(cell, width, rounding_mode="floor"),
        column=cell % width,
        locations=locations,
    )
