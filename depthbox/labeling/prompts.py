"""Prompts of a labeling job, and the functions that make and answer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.structures import BoxMode
from numpy.typing import NDArray

from ..data.points import ImagePoints, read_points
from ..io.annotations.kinds import object_kind
from ..io.annotations.records import AnnotationSet
from ..io.coco_masks import clip_box
from ..io.images import RGBImage
from .box_labeler import BoxMask

Entry = dict[str, Any]


@dataclass(frozen=True)
class Prompts:
    """Prompts of N objects of one image. A labeler computes one mask for each.

    Attributes:
        boxes: (N, 4) float64 xyxy in pixels of the original image, clipped to it; the whole image for an object with a
            point only.
        annotations: the N canonical annotations that the prompts belong to; () if there are none.
        points: points, classes, kinds and regions of the N objects, then those of the objects in ``context``, inside
            the image; None = all prompts are boxes.
        context: annotations of the other objects of the image, which need no mask.
    """

    boxes: NDArray[np.float64]
    annotations: Sequence[Entry] = ()
    points: ImagePoints | None = None
    context: Sequence[Entry] = ()


@dataclass(frozen=True)
class PromptPlan:
    """Objects of a dataset by their treatment; all other objects are labeled from their boxes.

    Attributes:
        points: canonical ids of the objects that are labeled from their points.
        kept: canonical ids of the objects that stay as they are.
    """

    points: frozenset[int] = frozenset()
    kept: frozenset[int] = frozenset()


_POINT_ARCHITECTURE = "P2Seg"
BOXES_ONLY = PromptPlan()  # all objects are labeled from their boxes

# Computes the masks of prompts from the canonical entry of the image, the image and the prompts. An empty mask of a
# point is replaced by a square at the end of the job.
Labeler = Callable[[Entry, RGBImage, Prompts], Sequence[BoxMask]]
# Makes prompts of the canonical annotations of an image of (height, width); objects without a usable one are left out.
PromptReader = Callable[[Sequence[Entry], tuple[int, int]], Prompts]


def answers_boxes(cfg: CfgNode) -> bool:
    """Return whether the network of a config computes masks of boxes; a ``P2Seg`` answers points alone."""
    return cfg.MODEL.META_ARCHITECTURE != _POINT_ARCHITECTURE


def plan_prompts(annotations: AnnotationSet, *, boxes: bool) -> PromptPlan:
    """Decide the treatment of each object of a dataset; crowds are in neither set.

    Objects with a point only are labeled from their points. If there are such objects, or if the network does not
    answer boxes, objects with masks stay as they are. Objects with boxes stay as they are if the network does not
    answer boxes.

    Args:
        annotations: canonical.
        boxes: whether the network computes masks of boxes.
    """
    ids: dict[str, set[int]] = {"mask": set(), "box": set(), "point": set()}
    for entry in annotations.content["annotations"]:
        if entry["iscrowd"] == 0:
            ids[object_kind(entry)].add(entry["id"])
    kept = set() if boxes else ids["box"]
    if ids["point"] or not boxes:
        kept |= ids["mask"]
    return PromptPlan(frozenset(ids["point"]), frozenset(kept))


def check_plan(annotations: AnnotationSet, plan: PromptPlan, *, boxes: bool, own_truth: bool) -> None:
    """Check that the network answers an object of the dataset, and that its labels can be compared.

    Args:
        annotations: the input.
        plan: treatment of its objects.
        boxes: whether the network computes masks of boxes.
        own_truth: whether the labels are compared with the masks of the input.

    Raises:
        ValueError: the network answers points alone, and the dataset has objects, but none with a point only; or labels
            of points are compared with the masks of the input.
    """
    if own_truth and plan.points:
        raise ValueError(
            f"the points of {annotations.source} have no masks to compare with: name the file of their ground-truth "
            "masks, with the same annotation ids: --evaluate TRUTH.json"
        )
    if plan.kept and not plan.points and not boxes:
        raise ValueError(
            f"{annotations.source} has no object with a point only, and a P2Seg labels points: its "
            f"{len(plan.kept)} objects with masks or boxes stay as they are. Name a file of points, or, for boxes, the "
            "weights of a network that `depthbox train` trained with boxes"
        )


def read_box_prompts(annotations: Sequence[Entry], size: tuple[int, int]) -> Prompts:
    """Make prompts of the boxes of annotations. Boxes with less than half a pixel inside the image are left out."""
    clipped = [(clip_box(entry["bbox"], size), entry) for entry in annotations]
    inside = [(box, entry) for box, entry in clipped if box is not None]
    boxes = np.array([box for box, _ in inside], dtype=np.float64).reshape(-1, 4)
    return Prompts(boxes, [entry for _, entry in inside])


def read_planned_prompts(
    annotations: Sequence[Entry], size: tuple[int, int], *, plan: PromptPlan, classes: Sequence[int]
) -> Prompts:
    """Make prompts of boxes and points; objects that are outside the image are left out.

    Args:
        annotations: canonical annotations of an image, without crowds.
        size: (height, width) of the image.
        plan: treatment of the objects.
        classes: class of the network of each category of the dataset, in the order of the canonical ids.
    """
    record = {"height": size[0], "width": size[1], "annotations": [_to_dataset(entry) for entry in annotations]}
    points = read_points(record)
    context = [n for n, entry in enumerate(annotations) if entry["id"] in plan.kept]
    others = [n for n, entry in enumerate(annotations) if entry["id"] not in plan.kept]
    boxes = {n: _find_box(annotations[n], points.coords[n], size, plan) for n in others}
    prompted = [n for n, box in boxes.items() if box is not None]
    limits = np.array([size[1], size[0]] * 2, dtype=np.float64)
    points = take_points(points, np.array([*prompted, *context], dtype=np.int64))
    return Prompts(
        np.array([boxes[n] for n in prompted], dtype=np.float64).reshape(-1, 4),
        [annotations[n] for n in prompted],
        ImagePoints(
            np.clip(points.coords, 0, limits[:2] - 0.5),  # centers of boxes that pass the border
            np.array(classes, dtype=np.int64)[points.classes],
            points.kinds,
            np.clip(points.regions, 0, limits),
            points.background,
        ),
        [annotations[n] for n in context],
    )


def take_points(points: ImagePoints, index: slice | NDArray[Any]) -> ImagePoints:
    """Select the points of some objects of an image.

    Args:
        points: points of N objects.
        index: slice, indices or (N,) bool.
    """
    return ImagePoints(
        points.coords[index], points.classes[index], points.kinds[index], points.regions[index], points.background
    )


def _to_dataset(entry: Entry) -> Entry:
    """Return a canonical annotation in the form of a dataset dict."""
    return {**entry, "category_id": entry["category_id"] - 1, "bbox_mode": BoxMode.XYWH_ABS}


def _find_box(
    entry: Entry, point: NDArray[np.float64], size: tuple[int, int], plan: PromptPlan
) -> Sequence[float] | None:
    """Return the box xyxy of an object, or the whole image for its point; None if it is outside the image."""
    if entry["id"] not in plan.points:
        return clip_box(entry["bbox"], size)
    inside = 0 <= point[0] < size[1] and 0 <= point[1] < size[0]
    return (0.0, 0.0, float(size[1]), float(size[0])) if inside else None
