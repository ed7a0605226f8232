"""FCOS target assignment: each location is assigned to the smallest box that accepts it; ties go to the lower index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...ops import integer_box_centers
from .locations import Locations, pyramid_locations
from .smallest_object import SideDistances, in_center_region, in_size_range, rank_objects, smallest_object_rank

__all__ = [
    "Assignment",
    "Locations",
    "SideDistances",
    "assign_targets",
    "in_center_region",
    "in_size_range",
    "pyramid_locations",
]


@dataclass(frozen=True)
class Assignment:
    """Targets of every location of every image.

    Attributes:
        labels: (B, P) int64, class, or C for background.
        target_index: (B, P) int64, object of the batch (images concatenated); 0 for background.
        deltas: (B, P, 4) float32, distances to the left, top, right and bottom side in strides; 0 for background.
    """

    labels: Tensor
    target_index: Tensor
    deltas: Tensor


def assign_targets(
    locations: Locations,
    boxes: Sequence[Tensor],
    classes: Sequence[Tensor],
    num_classes: int,
    *,
    center_sample: bool = True,
    radius: float = 1.5,
    mass_center_size: tuple[int, int] | None = None,
) -> Assignment:
    """Assign each location of each image to the smallest object that accepts it (FCOS).

    A location accepts an object if it lies in the object's box, near its center with center sampling, and if the
    largest distance to a side is in the size range of its level. Among objects of equal area the first is taken.

    With center sampling only the cells around the centers are visited, so that the cost hardly depends on the number
    of objects.

    Args:
        locations: locations of one image, which all images of a batch share.
        boxes: (N_b, 4) float xyxy per image, input pixels.
        classes: (N_b,) int64 per image.
        num_classes: C, the label of background.
        center_sample: accept only locations nearer to the object's center than ``radius`` strides on both axes.
        radius: half the side of that square, in strides.
        mass_center_size: (height, width) of the padded batch to use the center of the pixels that a box covers, as in
            published BoxInst; None to use the center of the box.

    Example:
        >>> import torch
        >>> locations = pyramid_locations([(2, 2)], [8], [], "cpu")
        >>> boxes = [torch.tensor([[0.0, 0.0, 10.0, 10.0]])]
        >>> assign_targets(locations, boxes, [torch.tensor([3])], 80, radius=1.0).labels.tolist()
        [[3, 80, 80, 80]]
    """
    xy, together = locations.xy, torch.cat(list(boxes))
    if mass_center_size is None:
        centers = (together[:, :2] + together[:, 2:]) / 2
    else:
        centers = integer_box_centers(together, *mass_center_size)
    objects = rank_objects(together.to(xy.dtype), centers, [len(x) for x in boxes])
    if len(objects) == 0:
        background = torch.full((len(boxes), len(locations)), num_classes, device=xy.device)
        return Assignment(background, torch.zeros_like(background), xy.new_zeros((*background.shape, 4)))
    rank = smallest_object_rank(locations, objects, radius if center_sample else None)
    background = rank == len(objects)
    index = objects.by_rank[rank.clamp(max=len(objects) - 1)]
    assigned = objects.boxes[index]
    deltas = torch.cat((xy - assigned[..., :2], assigned[..., 2:] - xy), dim=2)
    deltas /= locations.stride[:, None]
    return Assignment(
        labels=torch.cat(list(classes))[index].masked_fill_(background, num_classes),
        target_index=index.masked_fill(background, 0),
        deltas=deltas.masked_fill_(background[..., None], 0),
    )
