"""Selection of the locations whose masks are computed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...structures import Queries
from .inference import Detections
from .locations import Locations
from .targets import Assignment


def select_queries(
    locations: Locations,
    assignment: Assignment,
    image_index: Tensor,
    location_index: Tensor,
    scores: Tensor,
    per_image: int,
) -> Queries:
    """Select the best positive locations of each object, at most ``per_image`` per image (BoxInst).

    If n objects of an image have positive locations, each object keeps its max(per_image // n, 1) best ones. If n is
    greater than ``per_image``, so many objects are drawn at random.

    Args:
        locations: P locations of one image.
        assignment: targets of the batch.
        image_index, location_index: (N,) int64, image and location of each positive, ascending by image.
        scores: (N,) float, score of each positive; higher is better.
        per_image: maximum number of queries per image.
    """
    num_images = len(assignment.labels)
    target = assignment.target_index[image_index, location_index]
    by_score = torch.argsort(scores, descending=True, stable=True)
    order = by_score[torch.argsort(target[by_score], stable=True)]
    owner, image = target[order], image_index[order]
    starts = torch.ones_like(owner, dtype=torch.bool)
    starts[1:] = owner[1:] != owner[:-1]
    place = torch.arange(len(owner), device=owner.device)
    rank = place - torch.where(starts, place, 0).cummax(0).values
    quota = torch.div(per_image, _count(image, starts, num_images).clamp(min=1), rounding_mode="floor").clamp(min=1)
    # The objects are put into a random order, which matters only if there are more of them than queries.
    priority = torch.rand(len(owner), device=owner.device)[starts.cumsum(0) - 1]
    by_image = torch.argsort(priority, stable=True)
    by_image = by_image[torch.argsort(image[by_image], stable=True)]
    kept, image = (rank < quota[image])[by_image], image[by_image]
    before = _count(image, kept, num_images)
    before = before.cumsum(0) - before
    kept &= kept.cumsum(0) - before[image] <= per_image
    counts = tuple(_count(image, kept, num_images).tolist())
    # A stable sort moves the kept positives to the front. Unlike a bool index it does not wait for the device.
    chosen = order[by_image][torch.argsort(~kept, stable=True)[: sum(counts)]]
    cells = location_index[chosen]
    return Queries(
        image_index=image_index[chosen],
        level=locations.level[cells],
        row=locations.row[cells],
        column=locations.column[cells],
        locations=locations.xy[cells],
        target_index=target[chosen],
        counts=counts,
        num_positives=len(location_index),
    )


def _count(groups: Tensor, selected: Tensor, num_groups: int) -> Tensor:
    """Count the ``selected`` (N,) bool elements of each group; returns (num_groups,) int64."""
    zeros = torch.zeros(num_groups, dtype=torch.int64, device=groups.device)
    return zeros.index_add_(0, groups, selected.long())


def detection_queries(detections: Sequence[Detections]) -> Queries:
    """Return the detections of some images, one entry per image, as queries of the mask head."""
    counts = tuple(len(found) for found in detections)
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
