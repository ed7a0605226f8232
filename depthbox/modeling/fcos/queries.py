"""Which positive positions get a mask in training."""

from __future__ import annotations

import torch
from torch import Tensor

from ...structures import Queries
from .inference import Detections
from .targets import Assignment, Positions


def select_queries(
    positions: Positions,
    assignment: Assignment,
    image_index: Tensor,
    position_index: Tensor,
    scores: Tensor,
    per_image: int,
) -> Queries:
    """Keep the best positives of each object, at most ``per_image`` of an image (BoxInst).

    Of an image with n objects that have positives, each object keeps its max(per_image // n, 1) best; where there are
    more objects than ``per_image``, that many of them are drawn at random.

    Args:
        positions, assignment: as assigned.
        image_index, position_index: (N,) int64 of the positives, ascending by image.
        scores: (N,) rank of each positive, higher is better.
        per_image: hard cap.
    """
    num_images = len(assignment.labels)
    target = assignment.target_index[image_index, position_index]
    by_score = torch.argsort(scores, descending=True, stable=True)
    order = by_score[torch.argsort(target[by_score], stable=True)]
    owner, image = target[order], image_index[order]
    starts = torch.ones_like(owner, dtype=torch.bool)
    starts[1:] = owner[1:] != owner[:-1]
    group = starts.cumsum(0) - 1
    place = torch.arange(len(owner), device=owner.device)
    rank = place - place[starts][group]
    objects = torch.zeros(num_images, dtype=torch.int64, device=owner.device).index_add_(0, image, starts.long())
    quota = torch.div(per_image, objects.clamp(min=1), rounding_mode="floor").clamp(min=1)
    # A random order of the objects decides where there are more than the cap; else the order is irrelevant.
    priority = torch.rand(len(owner), device=owner.device)[group]
    by_image = torch.argsort(image.double() + priority.double() * 0.5, stable=True)
    kept = (rank < quota[image])[by_image]
    counted = kept.long().cumsum(0)
    image_sorted = image[by_image]
    before = torch.zeros(num_images, dtype=torch.int64, device=owner.device).index_add_(0, image_sorted, kept.long())
    before = before.cumsum(0) - before
    kept &= counted - before[image_sorted] <= per_image
    chosen = order[by_image][kept]
    images, cells = image_index[chosen], position_index[chosen]
    counts = torch.bincount(images, minlength=num_images)
    return Queries(
        image_index=images,
        level=positions.level[cells],
        row=positions.row[cells],
        column=positions.column[cells],
        locations=positions.locations[cells],
        target_index=target[chosen],
        counts=tuple(counts.tolist()),
        num_positives=len(position_index),
    )


def detection_queries(detections: list[Detections]) -> Queries:
    """The detections of some images, one entry each, as queries of the mask head."""
    counts = tuple(len(found.scores) for found in detections)
    device = detections[0].scores.device
    image_index = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(device)
    return Queries(
        image_index=image_index,
        level=torch.cat([found.level for found in detections]),
        row=torch.cat([found.row for found in detections]),
        column=torch.cat([found.column for found in detections]),
        locations=torch.cat([found.locations for found in detections]),
        target_index=torch.full_like(image_index, -1),
        counts=counts,
    )
