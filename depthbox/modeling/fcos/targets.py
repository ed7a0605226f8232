"""Which position of the pyramid is responsible for which object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...ops import integer_box_centers


@dataclass(frozen=True)
class Positions:
    """Positions of all levels in one image, level-major, then row-major.

    Attributes:
        locations: (P, 2) float32, (x, y) in input pixels.
        stride: (P,) float32, pixels.
        level, row, column: (P,) int64.
        size_range: (P, 2) float32, smallest and largest max(l, t, r, b) that the position accepts, inclusive.
    """

    locations: Tensor
    stride: Tensor
    level: Tensor
    row: Tensor
    column: Tensor
    size_range: Tensor


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


def level_locations(height: int, width: int, stride: int, device: torch.device | str | None = None) -> Tensor:
    """Centres (height * width, 2), (x, y), of a level's cells: index * stride + stride // 2, row-major."""
    x = torch.arange(width, device=device, dtype=torch.float32) * stride + stride // 2
    y = torch.arange(height, device=device, dtype=torch.float32) * stride + stride // 2
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((grid_x.flatten(), grid_y.flatten()), dim=1)


def pyramid_positions(
    sizes: Sequence[tuple[int, int]],
    strides: Sequence[int],
    sizes_of_interest: Sequence[float],
    device: torch.device | str,
) -> Positions:
    """Positions of all levels; ``sizes`` are (height, width) of each level, ``sizes_of_interest`` its L - 1 bounds."""
    lower, upper = [-1.0, *sizes_of_interest], [*sizes_of_interest, 1e8]
    parts: list[list[Tensor]] = [[], [], [], [], [], []]
    for level, ((height, width), stride) in enumerate(zip(sizes, strides, strict=True)):
        locations = level_locations(height, width, stride, device)
        cell = torch.arange(height * width, device=device)
        bounds = torch.tensor((lower[level], upper[level]), device=device)
        for part, value in zip(
            parts,
            (
                locations,
                locations.new_full((len(cell),), stride),
                torch.full_like(cell, level),
                cell // width,
                cell % width,
                bounds.expand(len(cell), 2),
            ),
            strict=True,
        ):
            part.append(value)
    return Positions(*(torch.cat(part) for part in parts))


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
    """Assign every position of every image to the smallest object that accepts it (FCOS).

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
    results, offset = [], 0
    for image_boxes, image_classes in zip(boxes, classes, strict=True):
        centers = (image_boxes[:, :2] + image_boxes[:, 2:]) / 2
        if mass_center_size is not None:
            centers = integer_box_centers(image_boxes, *mass_center_size)
        results.append(
            _assign_image(positions, image_boxes, image_classes, centers, num_classes, offset, center_sample, radius)
        )
        offset += len(image_boxes)
    return Assignment(*(torch.stack(part) for part in zip(*results, strict=True)))


def _assign_image(
    positions: Positions,
    boxes: Tensor,
    classes: Tensor,
    centers: Tensor,
    num_classes: int,
    offset: int,
    center_sample: bool,
    radius: float,
) -> tuple[Tensor, Tensor, Tensor]:
    count = len(positions.locations)
    if len(boxes) == 0:
        background = torch.full((count,), num_classes, dtype=torch.int64, device=positions.locations.device)
        return background, torch.zeros_like(background), positions.locations.new_zeros(count, 4)
    boxes = boxes.to(positions.locations.dtype)
    sides = _sides(positions.locations, boxes)
    inside = sides.amin(-1) > 0
    if center_sample:
        half = radius * positions.stride[:, None, None]
        near = (positions.locations[:, None] - centers[None]).abs()
        inside &= (near < half).all(-1)
    largest = sides.amax(-1)
    in_range = (largest >= positions.size_range[:, :1]) & (largest <= positions.size_range[:, 1:])
    areas = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).expand(count, -1)
    smallest, index = areas.masked_fill(~(inside & in_range), torch.inf).min(dim=1)
    background = torch.isinf(smallest)
    labels = torch.where(background, num_classes, classes[index])
    deltas = sides[torch.arange(count, device=index.device), index] / positions.stride[:, None]
    return labels, (index + offset).masked_fill(background, 0), deltas.masked_fill(background[:, None], 0)


def _sides(locations: Tensor, boxes: Tensor) -> Tensor:
    """Distances (P, N, 4) from each location to the left, top, right and bottom of each box."""
    return torch.cat((locations[:, None] - boxes[None, :, :2], boxes[None, :, 2:] - locations[:, None]), dim=-1)
