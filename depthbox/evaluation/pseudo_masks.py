"""Quality of pseudo masks: comparison with the ground-truth masks of the same objects."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from ..io.annotations.canonical import repaired_ids
from ..io.annotations.canonical.ids import is_id
from ..io.annotations.records import AnnotationSet
from ..io.coco_masks import segmentation_to_rle
from ..io.untrusted.json_files import read_json
from .coco_ground_truth import EvaluatedAnnotations, GroundTruth
from .coco_results import Result

AP_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


@dataclass(frozen=True)
class PseudoMask:
    """Mask that a method gives to one annotated object.

    Attributes:
        segmentation: polygons or RLE in the form of a COCO annotation, of the size of the image.
        score: confidence, by which COCO AP orders the masks.
        fallback: whether the mask is a square, because the method found no pixel of the object.
    """

    segmentation: Any
    score: float = 1.0
    fallback: bool = False


@dataclass(frozen=True)
class PseudoMaskQuality:
    """Agreement of pseudo masks with the ground truth.

    Attributes:
        mean_iou: mean IoU over all objects in [0, 1]; a missing mask counts as 0.
        above_50, above_75: share of the objects whose IoU is above 0.5 and 0.75.
        fallbacks: share of the objects whose mask is a fallback.
        count: number of objects with a ground-truth mask, crowds left out.
        missing: number of these objects without a pseudo mask.
        unmatched: number of pseudo masks of objects without a ground-truth mask, which are not compared.
        ap: COCO mask AP in percent with the scores of the masks: AP, AP50, AP75, APs, APm, APl.
    """

    mean_iou: float
    above_50: float
    above_75: float
    fallbacks: float
    count: int
    missing: int
    unmatched: int
    ap: Mapping[str, float]

    def __str__(self) -> str:
        lines = [
            f"mean IoU with {self.count} true masks: {100 * self.mean_iou:.2f}; {100 * self.above_50:.1f} % above 50, "
            f"{100 * self.above_75:.1f} % above 75",
            "mask AP with the scores: " + ", ".join(f"{name} {value:.2f}" for name, value in self.ap.items()),
            f"{100 * self.fallbacks:.1f} % of the masks are fallbacks, {self.missing} objects have no mask",
        ]
        if self.unmatched:
            lines.append(f"{self.unmatched} masks are not compared: the ground truth has no mask of their object")
        return "\n".join(lines)

    def to_figures(self) -> dict[str, float]:
        """Return all values by name, for a JSON file or a table."""
        figures = {name: value for name, value in vars(self).items() if name != "ap"}
        return figures | dict(self.ap)


def read_pseudo_masks(path: str | os.PathLike[str]) -> dict[Any, PseudoMask]:
    """Read the masks of a COCO JSON file, such as one of ``depthbox label``.

    Args:
        path: COCO JSON file. ``score`` (default 1) and ``fallback`` (default false) of its annotations are read.

    Returns:
        Annotation id -> mask. Crowds and annotations without ``segmentation`` are left out.

    Raises:
        ValueError: the file has no list of annotations, or an annotation lacks an id, has one that occurred before, or
            has a score that is not a number.
    """
    content = read_json(path)
    entries = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{path} is not a COCO JSON file: missing list(s): annotations")
    masks: dict[Any, PseudoMask] = {}
    for number, entry in enumerate(entries):
        identity = entry.get("id") if isinstance(entry, dict) else None
        if not is_id(identity) or identity in masks:
            raise ValueError(
                f"{path}: annotations[{number}] has no id of its own, so its object is unknown: give every annotation "
                "a different id and label again with `depthbox label`"
            )
        if entry.get("iscrowd") or not entry.get("segmentation"):
            continue
        score = entry.get("score", 1.0)
        if type(score) not in (int, float) or not np.isfinite(score):
            raise ValueError(
                f"{path}: annotation {identity} has the score {score!r}, which is not a finite number: label again "
                "with `depthbox label`"
            )
        masks[identity] = PseudoMask(entry["segmentation"], float(score), bool(entry.get("fallback")))
    return masks


def measure_pseudo_masks(
    predicted: Mapping[Any, PseudoMask], truth: AnnotationSet, *, fast: bool = True
) -> PseudoMaskQuality:
    """Compare pseudo masks with the ground-truth masks of the same annotations.

    Args:
        predicted: annotation id -> mask, such as the result of ``read_pseudo_masks``. The ids are those of
            ``io.annotations.canonical.repaired_ids(truth)``: the ids of the ground-truth file, if these are distinct
            positive integers.
        truth: ground truth, such as ``coco_ground_truth.read_annotations_alone(json_file).annotations``. Crowds and
            objects without ``segmentation`` are left out.
        fast: compute AP with faster-coco-eval if it is installed, else with pycocotools. As always in COCO, at most
            100 masks of an image and class enter the AP, those with the highest scores.

    Returns:
        The quality. AP is that of the compared masks with the true class of each object.

    Raises:
        ValueError: the ground truth contains no masks, no id agrees, or a mask is malformed or of another size than its
            image.
    """
    ids = repaired_ids(truth)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth.content["images"]}
    ious: list[float] = []
    results: list[Result] = []
    fallbacks = 0
    for entry in truth.content["annotations"]:
        if entry["iscrowd"] or "segmentation" not in entry:
            continue
        identity = ids.annotations[entry["id"]]
        mask = predicted.get(identity)
        if mask is None:
            ious.append(0.0)
            continue
        size = sizes[entry["image_id"]]
        rle = _to_rle(mask.segmentation, size, identity)
        ious.append(_compute_iou(rle, segmentation_to_rle(entry["segmentation"], size)))
        fallbacks += mask.fallback
        image, category = ids.images[entry["image_id"]], ids.categories[entry["category_id"]]
        results.append({"image_id": image, "category_id": category, "score": mask.score, "segmentation": rle})
    _require_common(truth, len(ious), len(results), len(predicted))
    precision = GroundTruth(EvaluatedAnnotations(truth, ids), fast).average_precision(results, "segm")
    values = np.array(ious)
    return PseudoMaskQuality(
        mean_iou=float(values.mean()),
        above_50=float((values > 0.5).mean()),
        above_75=float((values > 0.75).mean()),
        fallbacks=fallbacks / len(ious),
        count=len(ious),
        missing=len(ious) - len(results),
        unmatched=len(predicted) - len(results),
        ap=dict(zip(AP_NAMES, precision.summary, strict=True)),
    )


def _require_common(truth: AnnotationSet, objects: int, matched: int, predicted: int) -> None:
    if not objects:
        raise ValueError(
            f"{truth.source} contains no masks (segmentation) to compare with: name a file with ground-truth masks"
        )
    if predicted and not matched:
        raise ValueError(
            f"none of the {predicted} pseudo masks has the id of an object of {truth.source}: the masks are of another "
            "file. Name the ground truth whose annotation ids the labeled file kept"
        )


def _to_rle(segmentation: Any, size: tuple[int, int], identity: Any) -> dict[str, Any]:
    try:
        return segmentation_to_rle(segmentation, size)
    except ValueError as error:
        raise ValueError(
            f"the pseudo mask of annotation {identity} cannot be used: {error}. Label again with `depthbox label`"
        ) from error


def _compute_iou(mask: dict[str, Any], true_mask: dict[str, Any]) -> float:
    return float(mask_util.iou([mask], [true_mask], [0])[0, 0])
