"""FCOS targets from dense matrices of locations and objects, and the FCOS losses in the usual way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ...modeling.fcos.locations import Locations
from ...modeling.fcos.targets import Assignment
from .masks import draw_boxes


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
    """Assign targets as ``depthbox.modeling.fcos.assign_targets`` does, image by image.

    Boxes are (N, 4) xyxy and classes (N,) int64 for each image.
    """
    labels, indices, deltas = [], [], []
    offset = 0
    for image_boxes, image_classes in zip(boxes, classes, strict=True):
        found = _assign_image(
            locations, image_boxes, image_classes, num_classes, center_sample, radius, mass_center_size
        )
        labels.append(found.labels)
        indices.append(torch.where(found.labels == num_classes, 0, found.target_index + offset))
        deltas.append(found.deltas)
        offset += len(image_boxes)
    return Assignment(torch.stack(labels), torch.stack(indices), torch.stack(deltas))


def _assign_image(
    locations: Locations,
    boxes: Tensor,
    classes: Tensor,
    num_classes: int,
    center_sample: bool,
    radius: float,
    mass_center_size: tuple[int, int] | None,
) -> Assignment:
    """Assign the targets of one image, with indices of its own objects."""
    count = len(locations.xy)
    if len(boxes) == 0:
        label = torch.full((count,), num_classes, device=boxes.device)
        return Assignment(label, torch.zeros_like(label), boxes.new_zeros(count, 4))
    x, y = locations.xy[:, 0, None], locations.xy[:, 1, None]
    sides = torch.stack((x - boxes[:, 0], y - boxes[:, 1], boxes[:, 2] - x, boxes[:, 3] - y), dim=2)
    if center_sample:
        accepted = _near_center(locations, boxes, radius, mass_center_size)
    else:
        accepted = sides.min(dim=2).values > 0
    largest = sides.max(dim=2).values
    in_range = (largest >= locations.size_range[:, [0]]) & (largest <= locations.size_range[:, [1]])
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    areas = area[None].repeat(count, 1)
    areas[~accepted] = 1e8
    areas[~in_range] = 1e8
    smallest, index = areas.min(dim=1)
    chosen = sides[torch.arange(count, device=boxes.device), index] / locations.stride[:, None]
    label = classes[index].clone()
    label[smallest == 1e8] = num_classes
    chosen[smallest == 1e8] = 0
    return Assignment(label, index, chosen)


def _near_center(
    locations: Locations, boxes: Tensor, radius: float, mass_center_size: tuple[int, int] | None
) -> Tensor:
    """Find the locations in a square around each object's center, clipped to the box: (P, N) bool."""
    if mass_center_size is None:
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    else:
        centers = mass_centers(draw_boxes(boxes, mass_center_size))
    half = (locations.stride * radius)[:, None, None]
    low = torch.maximum(centers[None] - half, boxes[None, :, :2])
    high = torch.minimum(centers[None] + half, boxes[None, :, 2:])
    points = locations.xy[:, None]
    return torch.cat((points - low, high - points), dim=2).min(dim=2).values > 0


def mass_centers(masks: Tensor) -> Tensor:
    """Compute the centers of mass (N, 2), (x, y), of masks (N, H, W) float."""
    height, width = masks.shape[1:]
    x = torch.arange(width, device=masks.device, dtype=torch.float32)
    y = torch.arange(height, device=masks.device, dtype=torch.float32)
    mass = masks.sum((1, 2)).clamp(min=1e-6)
    center_x = (masks * x).sum((1, 2)) / mass
    center_y = (masks * y[:, None]).sum((1, 2)) / mass
    # The center of a box is a multiple of 1/2. Rounding removes the error of the sums, so that both implementations
    # choose the same locations.
    return (torch.stack((center_x, center_y), dim=1) * 2).round() / 2


def fcos_losses(
    logits: Tensor, deltas: Tensor, quality: Tensor, assignment: Assignment, num_classes: int
) -> dict[str, Tensor]:
    """Compute focal, box and centerness loss (scalars) from (B, P, C), (B, P, 4) and (B, P) predictions."""
    labels = assignment.labels.flatten()
    positive = torch.nonzero(labels != num_classes).squeeze(1)
    normalizer = max(float(positive.numel()), 1.0)
    one_hot = torch.zeros_like(logits.flatten(0, 1))
    one_hot[positive, labels[positive]] = 1
    target, predicted = assignment.deltas.flatten(0, 1)[positive], deltas.flatten(0, 1)[positive]
    centerness = _centerness(target)
    weight = max(float(centerness.sum()), 1e-6)
    terms = F.binary_cross_entropy_with_logits(quality.flatten()[positive], centerness, reduction="sum")
    return {
        "loss_fcos_cls": _focal(logits.flatten(0, 1), one_hot) / normalizer,
        "loss_fcos_loc": ((1 - _giou(predicted, target)) * centerness).sum() / weight,
        "loss_fcos_ctr": terms / normalizer,
    }


def select_queries(
    assignment: Assignment, logits: Tensor, quality: Tensor, num_classes: int, per_image: int
) -> list[Tensor]:
    """Select the indices (Q,) of the locations of each image whose masks are trained, object by object.

    With n objects in an image, each object keeps its max(per_image // n, 1) locations with the highest class score
    times quality. Their number is not capped.

    Args:
        assignment: targets of (B, P) locations.
        logits: (B, P, C).
        quality: (B, P) logits.
        num_classes: C.
        per_image: number of queries per image.
    """
    scores = logits.sigmoid().max(dim=2).values * quality.sigmoid()
    chosen = []
    for labels, owners, values in zip(assignment.labels, assignment.target_index, scores, strict=True):
        positive = torch.nonzero(labels != num_classes).squeeze(1)
        objects = owners[positive].unique()
        quota = max(per_image // max(len(objects), 1), 1)
        kept = [positive[:0]]
        for number in objects:
            own = positive[owners[positive] == number]
            best = values[own].topk(min(quota, len(own))).indices
            kept.append(own[best])
        chosen.append(torch.cat(kept))
    return chosen


def _focal(logits: Tensor, one_hot: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    scores = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, one_hot, reduction="none")
    right = scores * one_hot + (1 - scores) * (1 - one_hot)
    return ((alpha * one_hot + (1 - alpha) * (1 - one_hot)) * (1 - right) ** gamma * entropy).sum()


def _centerness(sides: Tensor) -> Tensor:
    across, down = sides[:, [0, 2]], sides[:, [1, 3]]
    products = across.min(1).values / across.max(1).values * (down.min(1).values / down.max(1).values)
    return torch.sqrt(products)


def _giou(sides: Tensor, target: Tensor) -> Tensor:
    def area(s: Tensor) -> Tensor:
        return (s[:, 0] + s[:, 2]) * (s[:, 1] + s[:, 3])

    overlap, hull = area(torch.min(sides, target)), area(torch.max(sides, target))
    union = area(sides) + area(target) - overlap
    return (overlap + 1) / (union + 1) - (hull - union) / hull
