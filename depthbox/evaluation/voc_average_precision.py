"""Mask AP by the rule of PASCAL VOC 2010 and later: area under the monotone precision curve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray

THRESHOLDS = (0.25, 0.5, 0.7, 0.75)
_CHUNK = 200  # masks that are compared at once
Rle = dict[str, Any]


@dataclass(frozen=True)
class ImageMasks:
    """Predicted and true masks of one image, as COCO RLEs of equal size.

    Attributes:
        predicted: P predicted masks.
        predicted_classes: their classes, from 0.
        scores: their scores; NaN ranks last.
        objects: N true masks.
        object_classes: their classes, from 0.
    """

    predicted: Sequence[Rle]
    predicted_classes: Sequence[int]
    scores: Sequence[float]
    objects: Sequence[Rle]
    object_classes: Sequence[int]


@dataclass(frozen=True)
class ClassMatches:
    """Predictions of one class, each with the object of its class and image that it overlaps most.

    Attributes:
        scores: (P,) float64.
        ious: (P,) float64, IoU with that object; 0 if the image has no object of the class.
        objects: (P,) int64, index of that object in the dataset; of equal IoUs the first.
        count: number of objects of the class.
    """

    scores: NDArray[np.float64]
    ious: NDArray[np.float64]
    objects: NDArray[np.int64]
    count: int


def compute_voc_ap(
    images: Iterable[ImageMasks], num_classes: int, thresholds: Sequence[float] = THRESHOLDS
) -> NDArray[np.float64]:
    """Compute VOC's mask AP of each class at each IoU threshold.

    Args:
        images: masks of each image. They are visited once, and of each prediction three numbers are kept.
        num_classes: number of classes K.
        thresholds: IoU at and above which a prediction finds its object.

    Returns:
        (len(thresholds), K) float64 in [0, 1]; NaN for a class without objects.
    """
    matches = collect_matches(images, num_classes)
    rows = [[average_precision(match, threshold) for match in matches] for threshold in thresholds]
    return np.array(rows, dtype=np.float64).reshape(len(rows), num_classes)


def collect_matches(images: Iterable[ImageMasks], num_classes: int) -> list[ClassMatches]:
    """Find the object of each prediction; returns one record per class."""
    counts = [0] * num_classes
    parts: list[list[tuple[float, float, int]]] = [[] for _ in range(num_classes)]
    for image in images:
        object_classes = np.asarray(image.object_classes, dtype=np.int64)
        predicted_classes = np.asarray(image.predicted_classes, dtype=np.int64)
        for label in np.union1d(object_classes, predicted_classes).tolist():
            found = np.flatnonzero(predicted_classes == label).tolist()
            objects = [image.objects[index] for index in np.flatnonzero(object_classes == label).tolist()]
            ious = compute_mask_iou([image.predicted[index] for index in found], objects)
            best = ious.argmax(axis=1) if objects else np.full(len(found), -1)
            for place, (index, chosen) in enumerate(zip(found, best.tolist(), strict=True)):
                iou = float(ious[place, chosen]) if objects else 0.0
                parts[label].append((float(image.scores[index]), iou, counts[label] + chosen))
            counts[label] += len(objects)
    return [_to_matches(part, count) for part, count in zip(parts, counts, strict=True)]


def average_precision(match: ClassMatches, threshold: float) -> float:
    """Compute the AP of one class: the area under its precision, made monotone from the right.

    In the order of scores (ties: order of the dataset), a prediction is correct if the IoU with its object reaches the
    threshold and no earlier prediction was correct for the same object. It is never compared with a second object.

    Args:
        match: predictions of the class.
        threshold: IoU.

    Returns:
        AP in [0, 1]; NaN without objects, 0 without predictions.
    """
    if match.count == 0:
        return float("nan")
    order = np.argsort(-match.scores, kind="stable")  # NaN last
    hits = match.ious[order] >= threshold
    objects = match.objects[order]
    correct = np.zeros(len(order), dtype=bool)
    first = np.unique(objects[hits], return_index=True)[1]
    correct[np.flatnonzero(hits)[first]] = True
    true_positives = np.cumsum(correct)
    precision = true_positives / np.arange(1, len(order) + 1)
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(monotone[correct].sum() / match.count)


def compute_mask_iou(first: Sequence[Rle], second: Sequence[Rle]) -> NDArray[np.float64]:
    """Compute the IoU of each pair of masks, (len(first), len(second)) float64; 0 if both masks are empty."""
    if not first or not second:
        return np.zeros((len(first), len(second)))
    blocks = [
        np.asarray(mask_util.iou(list(first[start : start + _CHUNK]), list(second), [0] * len(second)))
        for start in range(0, len(first), _CHUNK)
    ]
    return np.concatenate(blocks).astype(np.float64)


def _to_matches(part: list[tuple[float, float, int]], count: int) -> ClassMatches:
    scores, ious, objects = zip(*part, strict=True) if part else ((), (), ())
    return ClassMatches(
        np.array(scores, dtype=np.float64), np.array(ious, dtype=np.float64), np.array(objects, dtype=np.int64), count
    )
