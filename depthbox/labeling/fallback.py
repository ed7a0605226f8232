"""Squares in place of masks, for points to which no pixel belongs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pycocotools.mask as mask_util

from ..io.annotations.kinds import positive_point
from ..io.annotations.records import AnnotationSet
from ..io.coco_masks import crop_to_rle, pixels_inside, segmentation_to_rle
from ..modeling.points.masks import fallback_box
from .partial_results import ObjectLabel
from .prompts import PromptPlan

DEFAULT_SIDE = 64.0  # pixels: 32 to each side of the point


def fill_fallbacks(
    annotations: AnnotationSet, labels: Mapping[int, ObjectLabel], plan: PromptPlan, side: float = 0.0
) -> dict[int, ObjectLabel]:
    """Replace the labels without a mask that are marked as ``fallback`` by squares around their points.

    The result depends on the whole set of labels only, not on the order in which they were computed.

    Args:
        annotations: labeled annotations.
        labels: index of the annotation in the user's file -> label, of all objects.
        plan: objects labeled from points, and objects whose masks are the user's.
        side: side of the squares in pixels; 0 = the median of the class, see ``median_sides``, and ``DEFAULT_SIDE`` for
            a class without masks.

    Returns:
        All labels.
    """
    result = dict(labels)
    waiting = [
        entry
        for entry in annotations.content["annotations"]
        if entry["id"] in plan.points and _is_unfilled(labels.get(annotations.positions[entry["id"]]))
    ]
    if not waiting:
        return result
    sides = {} if side > 0 else median_sides(annotations, labels, plan)
    sizes = {image["id"]: (image["height"], image["width"]) for image in annotations.content["images"]}
    for entry in waiting:
        index, size = annotations.positions[entry["id"]], sizes[entry["image_id"]]
        point = positive_point(entry)
        assert point is not None
        own = side if side > 0 else sides.get(entry["category_id"], DEFAULT_SIDE)
        result[index] = _make_square(point, own, size, labels[index].score)
    return result


def median_sides(annotations: AnnotationSet, labels: Mapping[int, ObjectLabel], plan: PromptPlan) -> dict[int, float]:
    """Compute the median side of the masks of each class: the root of the area, in pixels.

    Masks are those of labels, without fallbacks, and those of the user that stay as they are.

    Args:
        annotations: labeled annotations.
        labels: index of the annotation in the user's file -> label.
        plan: objects whose masks are the user's.

    Returns:
        Canonical category id -> side; classes without masks are absent.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in annotations.content["images"]}
    sides: dict[int, list[float]] = defaultdict(list)
    for entry in annotations.content["annotations"]:
        label = labels.get(annotations.positions[entry["id"]])
        area = 0 if label is None or label.fallback else label.area
        if entry["id"] in plan.kept and "segmentation" in entry:
            area = int(mask_util.area(segmentation_to_rle(entry["segmentation"], sizes[entry["image_id"]])))
        if area > 0:
            sides[entry["category_id"]].append(area**0.5)
    return {category: float(np.median(values)) for category, values in sides.items()}


def _is_unfilled(label: ObjectLabel | None) -> bool:
    return label is not None and label.fallback and label.segmentation is None


def _make_square(point: tuple[float, float], side: float, size: tuple[int, int], score: float) -> ObjectLabel:
    """Return the square around a point, cut at the border of the image; it holds the pixel of the point."""
    column, row = int(point[0]), int(point[1])
    rows, columns = pixels_inside(fallback_box(point, side, size))
    top, bottom = min(rows.start, row), max(rows.stop, row + 1)
    left, right = min(columns.start, column), max(columns.stop, column + 1)
    mask = np.ones((bottom - top, right - left), dtype=np.bool_)
    return ObjectLabel(crop_to_rle(mask, left, top, size), score, mask.size, fallback=True)
