"""The teacher's predictions that may label a box: dense, before any suppression of neighbours."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

from ..modeling.fcos.head import HeadOutputs
from ..modeling.fcos.inference import Detections
from ..modeling.fcos.targets import Positions


def find_candidates(
    dense: HeadOutputs,
    positions: Positions,
    boxes: list[Tensor],
    classes: list[Tensor],
    *,
    per_box: int = 16,
    score_threshold: float = 0.05,
) -> list[Detections]:
    """For each annotated box the dense predictions of its class that overlap it most, by IoU.

    A position predicts a class where class probability * box quality exceeds the detector's threshold.

    Args:
        dense: of the teacher's detector.
        positions: of these predictions.
        boxes, classes: (M_b, 4) xyxy in the teacher's input pixels and (M_b,) of each image.
        per_box: candidates of one box.
        score_threshold: as above.

    Returns:
        Candidates of each image, without order; each pair of position and class at most once.
    """
    sides = _flatten(dense.deltas) * positions.stride[:, None]
    centers = positions.locations
    corners = torch.cat((centers - sides[..., :2], centers + sides[..., 2:]), dim=2)
    ranked = _flatten(dense.logits).sigmoid() * _flatten(dense.quality).sigmoid()
    candidates = []
    for b, (truth, labels) in enumerate(zip(boxes, classes, strict=True)):
        scores = ranked[b][:, labels]  # (P, M)
        overlap = box_iou(corners[b], truth.float()).masked_fill(scores <= score_threshold, 0)
        best, position = overlap.topk(min(per_box, len(overlap)), dim=0)
        keys = (position * ranked.shape[2] + labels)[best > 0].unique()
        chosen, found = keys.div(ranked.shape[2], rounding_mode="floor"), keys % ranked.shape[2]
        candidates.append(
            Detections(
                boxes=corners[b, chosen],
                scores=ranked[b, chosen, found].sqrt(),
                classes=found,
                level=positions.level[chosen],
                row=positions.row[chosen],
                column=positions.column[chosen],
                locations=centers[chosen],
            )
        )
    return candidates


def _flatten(levels: list[Tensor]) -> Tensor:
    """Level maps (B, C, H, W) as (B, P, C) float32."""
    return torch.cat([x.float().flatten(2) for x in levels], dim=2).transpose(1, 2)
