"""Candidates for the mask of a box: dense predictions of the detector before NMS."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from ..modeling.fcos.decode import decode_boxes
from ..modeling.fcos.head import HeadOutputs
from ..modeling.fcos.inference import Detections
from ..modeling.fcos.locations import Locations
from ..modeling.fcos.targets import SideDistances, in_center_region, in_size_range


def find_candidates(
    dense: HeadOutputs,
    locations: Locations,
    boxes: list[Tensor],
    classes: list[Tensor],
    *,
    per_box: int = 16,
    score_threshold: float = 0.05,
) -> list[Detections]:
    """Find, for each annotated box, the dense predictions of its class with the highest IoU (eq. 7).

    A location predicts a class if class probability * box quality exceeds the threshold.

    Args:
        dense: predictions of the teacher's detector.
        locations: P locations of these predictions.
        boxes: (M_b, 4) xyxy per image, in the teacher's input pixels.
        classes: (M_b,) int64 per image.
        per_box: maximum number of candidates per box.
        score_threshold: threshold of the predictions, exclusive.

    Returns:
        Candidates of each image, in no particular order; each pair of location and class at most once.
    """
    flat = dense.flatten()
    predicted = decode_boxes(locations.xy, flat.deltas, locations.stride)  # (B, P, 4)
    scores = flat.logits.sigmoid() * flat.quality.sigmoid()[..., None]  # (B, P, C)
    num_classes = scores.shape[2]
    candidates = []
    for b, (image_boxes, labels) in enumerate(zip(boxes, classes, strict=True)):
        overlap = box_iou(predicted[b], image_boxes.float())  # (P, M)
        overlap = overlap.masked_fill(scores[b][:, labels] <= score_threshold, 0)
        best, location = overlap.topk(min(per_box, len(overlap)), dim=0)
        keys = (location * num_classes + labels)[best > 0].unique()
        index, label = keys.div(num_classes, rounding_mode="floor"), keys % num_classes
        candidates.append(_detections_at(locations, index, predicted[b], scores[b, index, label], label))
    return candidates


@dataclass(frozen=True)
class BoxCandidates:
    """Candidates for the masks of the boxes of one image.

    Attributes:
        detections: K candidates; one location may be a candidate of several boxes.
        box_index: (K,) int64, box of each candidate, ascending.
    """

    detections: Detections
    box_index: Tensor


def class_agnostic_candidates(
    dense: HeadOutputs, locations: Locations, boxes: Tensor, *, per_box: int = 16, radius: float = 1.5
) -> BoxCandidates:
    """Find, for each box of one image, candidates of any class; each box has one at least.

    The candidates are the locations whose predicted boxes have the highest IoU with the box, and the locations to
    which FCOS would assign the box, or the nearest location of its level.

    Args:
        dense: predictions for one image.
        locations: P locations of these predictions.
        boxes: (N, 4) xyxy, input pixels.
        per_box: maximum number of candidates per box that are chosen by IoU.
        radius: half the side of the square around the center, in strides.

    Returns:
        Candidates with the score and the class of their most probable class.
    """
    flat = dense.flatten()
    predicted = decode_boxes(locations.xy, flat.deltas[0], locations.stride)  # (P, 4)
    scores, classes = (flat.logits[0].sigmoid() * flat.quality[0].sigmoid()[:, None]).max(dim=1)
    overlap, chosen = box_iou(boxes, predicted).topk(min(per_box, len(predicted)), dim=1)  # (N, per_box)
    selected = torch.zeros((len(boxes), len(predicted)), dtype=torch.bool, device=boxes.device)
    selected.scatter_(1, chosen, overlap > 0)
    selected |= _center_locations(locations, boxes, radius)
    box_index, index = torch.nonzero(selected, as_tuple=True)
    return BoxCandidates(_detections_at(locations, index, predicted, scores[index], classes[index]), box_index)


def _center_locations(locations: Locations, boxes: Tensor, radius: float) -> Tensor:
    """Return the locations (N, P) bool to which FCOS assigns each box, and the nearest one of the level of its size."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    distances = SideDistances.measure(locations.xy, low, high, (low + high) / 2)  # (N, P, 2)
    accepts = in_center_region(distances, radius * locations.stride[:, None]).all(2)
    accepts &= in_size_range(distances.largest.amax(2), locations.size_range)
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    of_level = in_size_range(half, locations.size_range)
    nearest = distances.center.amax(2).masked_fill(~of_level, torch.inf).argmin(dim=1)
    return accepts.scatter(1, nearest[:, None], True)


def _detections_at(
    locations: Locations, index: Tensor, predicted: Tensor, scores: Tensor, classes: Tensor
) -> Detections:
    """Return detections at K locations ``index``, with boxes from ``predicted`` (P, 4) and the root of the scores."""
    return Detections(
        boxes=predicted[index],
        scores=scores.sqrt(),
        classes=classes,
        level=locations.level[index],
        row=locations.row[index],
        column=locations.column[index],
        locations=locations.xy[index],
    )
