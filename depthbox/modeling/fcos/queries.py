"""Which positive positions get a mask in training."""

from __future__ import annotations

import torch
from torch import Tensor

from ...structures import Queries
from .inference import Detections
from .locations import Positions
from .targets import Assignment


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
    place = torch.arange(len(owner), device=owner.device)
    rank = place - torch.where(starts, place, 0).cummax(0).values
    quota = torch.div(per_image, _count(image, starts, num_images).clamp(min=1), rounding_mode="floor").clamp(min=1)
    # A random order of the objects decides where there are more than the cap; else the order is irrelevant.
    priority = torch.rand(len(owner), device=owner.device)[starts.cumsum(0) - 1]
    by_image = torch.argsort(priority, stable=True)
    by_image = by_image[torch.argsort(image[by_image], stable=True)]
    kept, image = (rank < quota[image])[by_image], image[by_image]
    before = _count(image, kept, num_images)
    before = before.cumsum(0) - before
    kept &= kept.cumsum(0) - before[image] <= per_image
    counts = tuple(_count(image, kept, num_images).tolist())
    # The kept ones in front, in their order: their number is known, so that the host need not wait for it again.
    chosen = order[by_image][torch.argsort(~kept, stable=True)[: sum(counts)]]
    cells = position_index[chosen]
    return Queries(
        image_index=image_index[chosen],
        level=positions.level[cells],
        row=positions.row[cells],
        column=positions.column[cells],
        locations=positions.locations[cells],
        target_index=target[chosen],
        counts=counts,
        num_positives=len(position_index),
    )


def _count(groups: Tensor, which: Tensor, num_groups: int) -> Tensor:
    """How many rows of each group (num_groups,) are among the bool rows ``which``."""
    zeros = torch.zeros(num_groups, dtype=torch.int64, device=groups.device)
    return zeros.index_add_(0, groups, which.long())


def detection_queries(detections: list[Detections]) -> Queries:
    """The detections of some images, one entry each, as queries of the mask head."""
    counts = tuple(len(found.scores) for found in detections)
    device = detections[0].scores.device
    image_index = torch.cat([torch.full((count,), image, device=device) for image, count in enumerate(counts)])
    return Queries(
        image_index=image_index,
        level=torch.cat([found.level for found in detections]),
        row=torch.cat([found.row for found in detections]),
        column=torch.cat([found.column for found in detections]),
        locations=torch.cat([found.locations for found in detections]),
        target_index=torch.full_like(image_index, -1),
        counts=counts,
    )
