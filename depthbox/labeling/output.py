"""COCO JSON files of labeled annotations: the user's content with a mask in each annotation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from ..inference.fingerprint import digest_states
from ..io.annotations.canonical import write_coco
from ..io.annotations.records import AnnotationSet
from ..io.coco_masks import crop_to_rle, rle_to_polygons, segmentation_to_rle
from ..io.untrusted.json_files import read_json
from .partial_results import ObjectLabel
from .prompts import BOXES_ONLY, PromptPlan

# Top-level key of the output that describes the finished job, by which a repeated call recognizes its own result.
STAMP = "depthbox_label"
_UNLABELED = "unlabeled"  # in it: indices of the objects without a label
_REPLACED = ("segmentation", "fallback")  # keys that an earlier labeling job may have written
Labels = Mapping[int, ObjectLabel]


def write_labels(
    path: Path,
    annotations: AnnotationSet,
    labels: Labels,
    mask_format: str,
    stamp: Mapping[str, Any],
    plan: PromptPlan = BOXES_ONLY,
) -> None:
    """Write the user's content with ``segmentation``, ``area`` and ``score`` of the labels; all else is unchanged.

    Annotations without a mask have no ``segmentation`` and the score 0. Crowds and kept objects are unchanged. A
    ``bbox`` is replaced only if the canonical dataset repaired it. An object that was labeled from its point gets a
    ``bbox``, the extent of its mask, and ``fallback`` true if the mask is a square.

    Args:
        path: the COCO JSON file to write.
        annotations: the labeled annotations.
        labels: index of the annotation in the user's file -> label.
        mask_format: "rle" or "polygons".
        stamp: description of the job; {} = none.
        plan: treatment of the objects.
    """
    sound = {annotations.positions[entry["id"]]: entry for entry in annotations.content["annotations"]}
    kept = {annotations.positions[number] for number in plan.kept}
    points = {annotations.positions[number] for number in plan.points}
    entries = []
    for index, entry in enumerate(annotations.original.get("annotations") or ()):
        if isinstance(entry, dict) and index not in kept and not _is_crowd(entry, sound.get(index)):
            entry = {key: value for key, value in entry.items() if key not in _REPLACED} | {"iscrowd": 0, "score": 0.0}
            box = sound.get(index, {}).get("bbox")
            if box is not None and entry.get("bbox") != box:
                entry["bbox"] = box
            encoded = _encode(labels.get(index), mask_format)
            entry |= encoded
            if encoded and index in points:
                entry |= _describe_point_mask(labels[index])
        entries.append(entry)
    content = {key: value for key, value in annotations.original.items() if key != STAMP} | {"annotations": entries}
    if stamp:
        objects = [index for index, entry in sound.items() if entry["iscrowd"] == 0 and index not in kept]
        content[STAMP] = {**stamp, _UNLABELED: [index for index in objects if index not in labels]}
    write_coco(content, path)


def read_labels(
    path: Path, annotations: AnnotationSet, stamp: Mapping[str, Any], plan: PromptPlan = BOXES_ONLY
) -> dict[int, ObjectLabel] | None:
    """Read the labels of a file that ``write_labels`` wrote with the same plan.

    Returns:
        Index of the annotation in the user's file -> label; None if the file is of another job or is not such a file.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return None
    found = content.get(STAMP) if isinstance(content, dict) else None
    if not isinstance(found, dict) or any(found.get(key) != value for key, value in stamp.items()):
        return None
    entries, unlabeled = content.get("annotations"), found.get(_UNLABELED)
    whole = isinstance(entries, list) and len(entries) == len(annotations.original.get("annotations") or ())
    if not (whole and isinstance(unlabeled, list)):  # edited since: indices would name other objects
        return None
    sizes = {image["id"]: (image["height"], image["width"]) for image in annotations.content["images"]}
    labels = {}
    for entry in annotations.content["annotations"]:
        index = annotations.positions[entry["id"]]
        if entry["iscrowd"] == 0 and entry["id"] not in plan.kept and index not in unlabeled:
            labels[index] = _decode(entries[index], sizes[entry["image_id"]])
    return labels


def digest_images(annotations: AnnotationSet) -> str:
    """Hash the names, sizes and times of change of the image files."""
    names = [image["file_name"] for image in annotations.content["images"]]
    return digest_states((name, annotations.image_root / name) for name in names)


def _is_crowd(entry: dict[str, Any], sound: dict[str, Any] | None) -> bool:
    return sound["iscrowd"] == 1 if sound is not None else entry.get("iscrowd") in (1, "1")


def _encode(label: ObjectLabel | None, mask_format: str) -> dict[str, Any]:
    """Return the keys of an annotation with a mask; {} without a mask or if the mask is empty."""
    if label is None or label.segmentation is None or label.area == 0:
        return {}
    segmentation: Any = label.segmentation
    if mask_format == "polygons":
        segmentation = rle_to_polygons(segmentation)
    return {"segmentation": segmentation, "area": label.area, "score": label.score} if segmentation else {}


def _decode(entry: dict[str, Any], size: tuple[int, int]) -> ObjectLabel:
    if "segmentation" not in entry:
        return ObjectLabel(crop_to_rle(np.zeros((0, 0), dtype=bool), 0, 0, size))
    rle = segmentation_to_rle(entry["segmentation"], size)
    return ObjectLabel(rle, entry["score"], entry["area"], entry.get("fallback") is True)


def _describe_point_mask(label: ObjectLabel) -> dict[str, Any]:
    """Return the keys that only a mask of a point has: its extent and, for a square, the mark."""
    box = [float(value) for value in mask_util.toBbox(label.segmentation)]
    return {"bbox": box} | ({"fallback": True} if label.fallback else {})
