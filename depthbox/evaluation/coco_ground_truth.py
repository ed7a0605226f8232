"""COCO ground truth: the objects of an annotation file in the form that COCOeval reads."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import pycocotools.mask as mask_util

from ..io.coco_masks import segmentation_to_rle
from .average_precision import AveragePrecision, compute_average_precision, convert_detections, no_garbage_collection
from .coco_results import Result


class GroundTruth:
    """Objects of a COCO JSON file; ``area``, ``iscrowd`` and ``segmentation`` may be missing.

    Ids may be any numbers or text. COCOeval marks unmatched detections by the annotation id 0, so an object with
    that id could never be found. Images, annotations and categories are therefore numbered from 1 internally.

    Attributes:
        json_file: path of the file.
        image_sizes: image id -> (height, width), in the order of ids.
        categories: category id -> name, in the order of ids.
        has_annotations: False for a test set without them.
        has_objects: whether any object is not a crowd.
        has_masks: whether any object that is not a crowd has a mask.
    """

    def __init__(self, json_file: str, fast: bool = True) -> None:
        """
        Args:
            json_file: COCO instances JSON file.
            fast: use faster-coco-eval if it is installed.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file is not valid JSON or not a COCO JSON file.
        """
        data = _read_json(json_file)
        self.json_file = json_file
        try:
            sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
            names = {category["id"]: category["name"] for category in data["categories"]}
        except (KeyError, TypeError) as error:
            needed = "every image needs id, height and width, every category id and name"
            raise ValueError(f"the ground truth {json_file} is not a COCO JSON file: {needed}") from error
        self.image_sizes = {image_id: sizes[image_id] for image_id in sort_ids(sizes)}
        self.categories = {category_id: names[category_id] for category_id in sort_ids(names)}
        self.has_annotations = "annotations" in data
        self._image_numbers = {image_id: number for number, image_id in enumerate(self.image_sizes, 1)}
        self._category_numbers = {category_id: number for number, category_id in enumerate(self.categories, 1)}
        self._annotations = self._select_known(data.get("annotations") or [])
        objects = [annotation for annotation in self._annotations if not annotation.get("iscrowd")]
        self.has_objects = bool(objects)
        self.has_masks = any(annotation.get("segmentation") for annotation in objects)
        self._fast = fast and importlib.util.find_spec("faster_coco_eval") is not None
        if fast and not self._fast:
            logging.getLogger(__name__).info("faster-coco-eval is not installed: AP is computed with pycocotools.")

    def average_precision(self, results: Sequence[Result], task: str) -> AveragePrecision:
        """Compute AP at up to 100 detections per image.

        Args:
            results: detections in COCO's result format; may be empty. Detections without the field of the task
                (``bbox`` or ``segmentation``), and those of images or categories that the file does not list, are
                not evaluated.
            task: "bbox" or "segm".

        Returns:
            The AP values.

        Raises:
            ValueError: an annotation without a box.
        """
        names = list(self.categories.values())
        if not self.has_objects:
            return AveragePrecision([float("nan")] * 6, dict.fromkeys(names, float("nan")))
        with no_garbage_collection():
            objects = [self._complete(number, row, task) for number, row in enumerate(self._annotations, 1)]
            pairs = {(row["image_id"], row["category_id"]) for row in objects}
            detections = convert_detections(results, task, self._image_numbers, self._category_numbers, pairs)
            return compute_average_precision(
                list(self.image_sizes.values()), names, objects, detections, task, self._fast
            )

    def _select_known(self, annotations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the annotations whose image and category are in the file; the others are counted in a warning."""
        known = [
            annotation
            for annotation in annotations
            if annotation.get("image_id") in self._image_numbers
            and annotation.get("category_id") in self._category_numbers
        ]
        if dropped := len(annotations) - len(known):
            logging.getLogger(__name__).warning(
                "%s: %d annotations are not evaluated, because their image or category is not listed in the file; "
                "`depthbox check` names them.", self.json_file, dropped,
            )  # fmt: skip
        return known

    def _complete(self, number: int, annotation: dict[str, Any], task: str) -> dict[str, Any]:
        """Return a numbered copy with all keys that COCOeval reads.

        For the mask AP, an object without a mask becomes an ignored region.
        """
        try:
            x, y, w, h = annotation["bbox"]
        except (KeyError, TypeError, ValueError) as error:
            where = f"{self.json_file}: annotation {annotation.get('id', '(no id)')}"
            raise ValueError(f"{where} has no bbox [x, y, width, height]; see `depthbox check`") from error
        image_id = annotation["image_id"]
        row = {**annotation, "id": number, "image_id": self._image_numbers[image_id]}
        row["category_id"] = self._category_numbers[annotation["category_id"]]
        row["iscrowd"] = int(row.get("iscrowd") or 0)
        if task == "segm" and not row.get("segmentation"):
            row["iscrowd"] = 1
            row["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        if row.get("area") is None:
            mask = row.get("segmentation")
            size = self.image_sizes[image_id]
            row["area"] = float(mask_util.area(segmentation_to_rle(mask, size))) if mask else w * h
        return row


def sort_ids(ids: Iterable[Any]) -> list[Any]:
    """Return ids in ascending order, numbers before text."""
    return sorted(ids, key=lambda value: (isinstance(value, str), value))


def _read_json(json_file: str) -> dict[str, Any]:
    try:
        with open(json_file, encoding="utf-8") as file:
            data = json.load(file)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"the ground truth {json_file} does not exist; correct the dataset's path") from error
    except ValueError as error:
        raise ValueError(f"the ground truth {json_file} is not valid JSON: {error}") from error
    missing = ["images", "categories"]
    if isinstance(data, dict):
        missing = [key for key in missing if key not in data]
    if missing:
        raise ValueError(f"the ground truth {json_file} is not a COCO JSON file: missing list(s): {', '.join(missing)}")
    return data
