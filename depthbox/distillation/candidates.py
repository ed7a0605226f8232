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


def own_candidates(
    dense: HeadOutputs, positions: Positions, boxes: Tensor, *, per_box: int = 16, radius: float = 1.5
) -> tuple[Detections, Tensor]:
    """For each box of one image the positions that may know its mask, of any class: there is always one.

    These are the positions whose predicted boxes overlap it most, by IoU, and the centre cells that FCOS would train
    on it (the nearest cell of its level where there is none).

    Args:
        dense: of one image.
        positions: of these predictions.
        boxes: (N, 4) xyxy in input pixels.
        per_box: positions by IoU.
        radius: half side of the square of centre cells, in strides.

    Returns:
        Candidates, a position once for each of its boxes, and (K,) int64 the box of each, ascending. Their score is
        that of their likeliest class.
    """
    sides, centers = _flatten(dense.deltas)[0] * positions.stride[:, None], positions.locations
    corners = torch.cat((centers - sides[:, :2], centers + sides[:, 2:]), dim=1)
    classes = _flatten(dense.logits)[0].sigmoid() * _flatten(dense.quality)[0].sigmoid()
    best, likeliest = classes.max(dim=1)
    overlap, chosen = box_iou(boxes, corners).topk(min(per_box, len(corners)), dim=1)  # (N, per_box)
    mine = torch.zeros((len(boxes), len(corners)), dtype=torch.bool, device=boxes.device)
    mine.scatter_(1, chosen, overlap > 0)
    mine |= _center_cells(positions, boxes, radius)
    owners, index = torch.nonzero(mine, as_tuple=True)
    found = Detections(
        boxes=corners[index],
        scores=best[index].sqrt(),
        classes=likeliest[index],
        level=positions.level[index],
        row=positions.row[index],
        column=positions.column[index],
        locations=centers[index],
    )
    return found, owners


def _center_cells(positions: Positions, boxes: Tensor, radius: float) -> Tensor:
    """The cells (N, P) bool that FCOS trains on each box, and in any case the nearest one of its level."""
    spots = positions.locations
    centers, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    away = (spots[None] - centers[:, None]).abs()  # (N, P, 2)
    largest = (away + half[:, None]).amax(2)
    low, high = positions.size_range.unbind(1)
    near = (away < radius * positions.stride[:, None]).all(2) & (away < half[:, None]).all(2)
    near &= (largest >= low) & (largest <= high)
    level = (half.amax(1, keepdim=True) >= low) & (half.amax(1, keepdim=True) <= high)
    nearest = away.amax(2).masked_fill(~level, torch.inf).argmin(dim=1)
    return near.scatter(1, nearest[:, None], True)


def _flatten(levels: list[Tensor]) -> Tensor:
    """Level maps (B, C, H, W) as (B, P, C) float32."""
    return torch.cat([x.float().flatten(2) for x in levels], dim=2).transpose(1, 2)
