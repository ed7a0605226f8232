"""Ground truth in COCO's format, and AP against it by pycocotools or faster-coco-eval."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .coco_results import Result

# COCOeval.stats starts with AP, AP50, AP75, APs, APm, APl.
_STATS = 6


class GroundTruth:
    """The objects of a COCO json; missing ``area``, ``iscrowd`` or ``segmentation`` are no obstacle.

    Attributes:
        json_file: where it came from.
        image_sizes: image id -> (height, width).
        categories: category id -> name, in the order of ids.
        has_annotations: False for a test set without them.
        has_masks: whether any object that counts (no crowd) has a mask.
    """

    def __init__(self, json_file: str, fast: bool = True) -> None:
        """
        Args:
            json_file: COCO instances json.
            fast: use faster-coco-eval where it is installed.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is no valid JSON or no COCO json.
        """
        self.json_file = json_file
        self._data = _read_json(json_file)
        self.image_sizes = {image["id"]: (image["height"], image["width"]) for image in self._data["images"]}
        categories = sorted(self._data["categories"], key=lambda category: category["id"])
        self.categories = {category["id"]: category["name"] for category in categories}
        self.has_annotations = "annotations" in self._data
        annotations = self._data.setdefault("annotations", [])
        self.has_masks = any(a.get("segmentation") and not a.get("iscrowd", 0) for a in annotations)
        self._fast = fast and importlib.util.find_spec("faster_coco_eval") is not None
        if fast and not self._fast:
            logging.getLogger(__name__).info("faster-coco-eval is not installed: AP is computed with pycocotools.")

    def average_precision(self, results: Sequence[Result], task: str) -> tuple[list[float], dict[str, float]]:
        """AP at up to 100 detections an image.

        Args:
            results: detections in COCO's result format with ``bbox`` or ``segmentation``; may be none.
            task: "bbox" or "segm".

        Returns:
            [AP, AP50, AP75, APs, APm, APl] and class name -> AP, in percent; NaN where there is nothing to
            find.
        """
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = _run(self._annotations(task), self._data, results, task, self._fast)
        stats = [_percent(value) for value in evaluation.stats[:_STATS]]
        # Of (IoU, recall, class, area, detections): all areas, 100 detections.
        precision = evaluation.eval["precision"][:, :, :, 0, -1]
        names = self.categories.values()
        per_class = {name: _percent_mean(precision[:, :, index]) for index, name in enumerate(names)}
        return stats, per_class

    def _annotations(self, task: str) -> list[dict[str, Any]]:
        return [_complete(annotation, task, self.image_sizes) for annotation in self._data["annotations"]]


def _run(
    annotations: list[dict[str, Any]], data: dict[str, Any], results: Sequence[Result], task: str, fast: bool
) -> Any:
    """Evaluate, accumulate and summarise; returns the COCOeval object of either library."""
    index, evaluator, options = _library(fast)

    def indexed(rows: list[dict[str, Any]]) -> Any:
        api = index()
        kept = {key: data[key] for key in ("images", "categories")}
        api.dataset = {"info": {}, "annotations": rows, **kept}
        api.createIndex()
        return api

    truth = indexed(annotations)
    # loadRes writes into its rows, and does not take an empty list.
    found = truth.loadRes([dict(row) for row in results]) if results else indexed([])
    evaluation = evaluator(truth, found, task, **options)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def _library(fast: bool) -> tuple[Any, Any, dict[str, Any]]:
    """Index class, evaluation class and its options, of faster-coco-eval or pycocotools."""
    if not fast:
        return COCO, COCOeval, {}
    import faster_coco_eval

    return faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster, {"print_function": lambda *_: None}


def _complete(annotation: dict[str, Any], task: str, image_sizes: dict[int, tuple[int, int]]) -> dict[str, Any]:
    """A copy with all that COCOeval reads; for the mask AP, an object without mask is a region to ignore."""
    x, y, w, h = annotation["bbox"]
    row = dict(annotation)
    row["iscrowd"] = int(row.get("iscrowd", 0))
    if task == "segm" and not row.get("segmentation"):
        row["iscrowd"] = 1
        row["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    if "area" not in row:
        row["area"] = _mask_area(row, image_sizes) if row.get("segmentation") else w * h
    return row


def _mask_area(row: dict[str, Any], image_sizes: dict[int, tuple[int, int]]) -> float:
    segmentation = row["segmentation"]
    if isinstance(segmentation, list):
        segmentation = mask_util.merge(mask_util.frPyObjects(segmentation, *image_sizes[row["image_id"]]))
    elif isinstance(segmentation["counts"], list):
        segmentation = mask_util.frPyObjects(segmentation, *segmentation["size"])
    return float(mask_util.area(segmentation))


def _read_json(json_file: str) -> dict[str, Any]:
    try:
        with open(json_file, encoding="utf-8") as file:
            data = json.load(file)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"the ground truth {json_file} does not exist; correct the data set's path") from error
    except ValueError as error:
        raise ValueError(f"the ground truth {json_file} is no valid JSON: {error}") from error
    if not (isinstance(data, dict) and {"images", "categories"} <= data.keys()):
        raise ValueError(f"the ground truth {json_file} is no COCO json: it needs 'images' and 'categories'")
    return data


def _percent(value: float) -> float:
    return float(value) * 100 if value >= 0 else float("nan")


def _percent_mean(precision: np.ndarray) -> float:
    known = precision[precision > -1]
    return float(known.mean()) * 100 if known.size else float("nan")
