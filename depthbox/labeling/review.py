"""Quality of labeled masks: contact sheets of the masks with the lowest scores, and comparison with true masks."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray

from ..evaluation.pseudo_masks import PseudoMask, PseudoMaskQuality, measure_pseudo_masks
from ..io.annotations.canonical import repaired_ids
from ..io.annotations.kinds import positive_point
from ..io.annotations.records import AnnotationSet
from ..io.coco_masks import filled_box, segmentation_to_rle
from ..io.images import read_image
from ..visualization.review_sheet import ReviewItem, write_review
from .output import Labels
from .partial_results import ObjectLabel
from .prompts import BOXES_ONLY, PromptPlan


@dataclass(frozen=True)
class MaskQuality:
    """Mean IoU with the true masks, in [0, 1].

    Attributes:
        masks: mean IoU of the labeled masks; an object without a mask counts as 0.
        filled: mean IoU of the filled boxes.
        count: number of objects with a true mask.
        poor: share of the masks with an IoU below 0.5.
        agreement: Spearman's rank correlation of scores and IoUs; None if it is undefined.
    """

    masks: float
    filled: float
    count: int
    poor: float
    agreement: float | None

    def __str__(self) -> str:
        line = (
            f"mean IoU with {self.count} true masks: {100 * self.masks:.2f}, of filled boxes {100 * self.filled:.2f}; "
            f"{100 * self.poor:.1f} % of the masks below 50"
        )
        return line if self.agreement is None else f"{line}; rank correlation with the scores {self.agreement:.2f}"


def evaluate_labels(annotations: AnnotationSet, labels: Labels) -> MaskQuality:
    """Compare labels with the masks of the annotations.

    Args:
        annotations: objects without ``segmentation`` and crowds are left out.
        labels: index of the annotation in the user's file -> label.

    Raises:
        ValueError: the annotations contain no masks.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in annotations.content["images"]}
    ious, filled, scores = [], [], []
    for entry in annotations.content["annotations"]:
        if entry["iscrowd"] or "segmentation" not in entry:
            continue
        size = sizes[entry["image_id"]]
        true_mask = segmentation_to_rle(entry["segmentation"], size)
        label = labels.get(annotations.positions[entry["id"]])
        ious.append(0.0 if label is None else _iou(label.segmentation, true_mask))
        filled.append(_iou(filled_box(entry["bbox"], size), true_mask))
        scores.append(0.0 if label is None else label.score)
    if not ious:
        raise ValueError(f"{annotations.source} contains no masks (segmentation) to compare with: omit --evaluate")
    poor = float(np.mean(np.array(ious) < 0.5))
    return MaskQuality(float(np.mean(ious)), float(np.mean(filled)), len(ious), poor, _rank_correlation(scores, ious))


def measure_labels(
    annotations: AnnotationSet, labels: Labels, truth: AnnotationSet, plan: PromptPlan = BOXES_ONLY
) -> PseudoMaskQuality:
    """Compare labels with the masks of the same objects in another file, by annotation id.

    Args:
        annotations: the labeled annotations.
        labels: index of the annotation in the user's file -> label.
        truth: ground truth. Objects that stay as they are in the labeled file are left out.
        plan: treatment of the labeled objects.

    Raises:
        ValueError: see ``measure_pseudo_masks``.
    """
    ids, numbers = repaired_ids(annotations).annotations, repaired_ids(truth).annotations
    kept = {ids[number] for number in plan.kept}
    compared = [entry for entry in truth.content["annotations"] if numbers[entry["id"]] not in kept]
    predicted = {
        ids[entry["id"]]: PseudoMask(label.segmentation, label.score, label.fallback)
        for entry in annotations.content["annotations"]
        if (label := labels.get(annotations.positions[entry["id"]])) is not None
    }
    return measure_pseudo_masks(
        predicted, dataclasses.replace(truth, content={**truth.content, "annotations": compared})
    )


def review_labels(
    annotations: AnnotationSet, labels: Labels, folder: Path, count: int, plan: PromptPlan = BOXES_ONLY
) -> list[Path]:
    """Draw the masks with the lowest scores, lowest first; squares in place of masks come before all masks.

    Args:
        annotations: the labeled annotations.
        labels: index of the annotation in the user's file -> label.
        folder: folder of the pages.
        count: number of masks.
        plan: objects that were labeled from their points, which are drawn.

    Returns:
        The pages; [] without labels.
    """
    classes = {category["id"]: category["name"] for category in annotations.content["categories"]}
    files = {image["id"]: image["file_name"] for image in annotations.content["images"]}
    found = [(labels.get(annotations.positions[entry["id"]]), entry) for entry in annotations.content["annotations"]]
    labeled = [(label, files[entry["image_id"]], entry) for label, entry in found if label is not None]
    labeled.sort(key=lambda item: (not item[0].fallback, item[0].score, item[1]))
    items = []
    for label, file_name, entry in labeled[:count]:
        by_point = entry["id"] in plan.points
        x, y, width, height = mask_util.toBbox(label.segmentation).tolist() if by_point else entry["bbox"]
        name, number = classes[entry["category_id"]], annotations.ids.annotations[entry["id"]]
        caption = f"{'square' if label.fallback else f'{label.score:.2f}'} {name} {number} {file_name}"
        mask, point = functools.partial(_decode_mask, label), positive_point(entry) if by_point else None
        items.append(ReviewItem(file_name, (x, y, x + width, y + height), mask, caption, point))
    return write_review(items, lambda name: read_image(annotations.image_root / name), folder, "doubtful masks")


def _decode_mask(label: ObjectLabel) -> NDArray[np.bool_]:
    return mask_util.decode(label.segmentation).astype(bool)


def _iou(mask: dict | None, true_mask: dict) -> float:
    return float(mask_util.iou([mask], [true_mask], [0])[0, 0])


def _rank_correlation(scores: list[float], ious: list[float]) -> float | None:
    from scipy.stats import spearmanr

    if len(set(scores)) < 2 or len(set(ious)) < 2:
        return None
    return float(spearmanr(scores, ious)[0])
