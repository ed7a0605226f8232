"""Which position of the pyramid is responsible for which object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...ops import integer_box_centers
from .claims import claims, rank_objects
from .locations import Positions, pyramid_positions

__all__ = ["Assignment", "Positions", "assign_targets", "pyramid_positions"]


@dataclass(frozen=True)
class Assignment:
    """Targets of every position of every image.

    Attributes:
        labels: (B, P) int64, class, or C for background.
        target_index: (B, P) int64, object of the batch (images concatenated); 0 where background.
        deltas: (B, P, 4) float32, left, top, right, bottom in strides; 0 where background.
    """

    labels: Tensor
    target_index: Tensor
    deltas: Tensor


def assign_targets(
    positions: Positions,
    boxes: Sequence[Tensor],
    classes: Sequence[Tensor],
    num_classes: int,
    *,
    center_sample: bool = True,
    radius: float = 1.5,
    mass_center_size: tuple[int, int] | None = None,
) -> Assignment:
    """Assign every position of every image to the smallest object that accepts it, of equal ones the first (FCOS).

    With centre sampling each object looks at the few cells round its centre, so that a crowded image costs little more
    than an empty one. Without it, objects are compared with all positions, a few at a time.

    Args:
        positions: of one image; all images of a batch share them.
        boxes: (N_b, 4) xyxy per image, input pixels.
        classes: (N_b,) int64 per image.
        num_classes: C, the label of background.
        center_sample: accept only positions within ``radius`` strides of the object's centre and in its box.
        radius: half side of that square, in strides.
        mass_center_size: (height, width) of the padded batch: sample round the centre of the pixels that the box
            covers, as published BoxInst does; None: round the box centre.
    """
    locations, together = positions.locations, torch.cat(list(boxes))
    if mass_center_size is None:
        centers = (together[:, :2] + together[:, 2:]) / 2
    else:
        centers = integer_box_centers(together, *mass_center_size)
    objects = rank_objects(together.to(locations.dtype), centers, [len(x) for x in boxes])
    if len(objects) == 0:
        background = torch.full((len(boxes), len(positions)), num_classes, device=locations.device)
        return Assignment(background, torch.zeros_like(background), locations.new_zeros((*background.shape, 4)))
    rank = claims(positions, objects, radius if center_sample else None)
    background = rank == len(objects)
    index = objects.by_rank[rank.clamp(max=len(objects) - 1)]
    claimed = objects.boxes[index]
    deltas = torch.cat((locations - claimed[..., :2], claimed[..., 2:] - locations), dim=2)
    deltas /= positions.stride[:, None]
    return Assignment(
        labels=torch.cat(list(classes))[index].masked_fill_(background, num_classes),
        target_index=index.masked_fill(background, 0),
        deltas=deltas.masked_fill_(background[..., None], 0),
    )
