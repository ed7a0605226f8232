"""Ground truth in COCO's format, and AP against it by pycocotools or faster-coco-eval."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import io
import itertools
import json
import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .coco_results import Result

_MAX_DETECTIONS = 100  # of an image and class
_NO_MASK = {"size": [1, 1], "counts": "1"}
# Masks whose area is measured at once; pycocotools 2.0.11 fails at more than 255 under numpy 2.
_AREAS = 200


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
            results: detections in COCO's result format; those without ``bbox`` or ``segmentation``, whichever the task
                needs, are left out. May be none.
            task: "bbox" or "segm".

        Returns:
            [AP, AP50, AP75, APs, APm, APl] and class name -> AP, in percent; NaN where there is nothing to
            find.
        """
        with _no_garbage_collection(), contextlib.redirect_stdout(io.StringIO()):
            annotations = [_complete(annotation, task, self.image_sizes) for annotation in self._data["annotations"]]
            pairs = {(row["image_id"], row["category_id"]) for row in annotations}
            found = _detections(results, task, pairs)
            precision, thresholds = _precision(annotations, found, self._data, task, self._fast)
        everywhere = precision[..., 0]
        stats = [
            _percent_mean(part) for part in (everywhere, everywhere[thresholds == 0.5], everywhere[thresholds == 0.75])
        ]
        stats += [_percent_mean(precision[..., area]) for area in (1, 2, 3)]  # small, medium, large
        names = self.categories.values()
        return stats, {name: _percent_mean(everywhere[:, :, index]) for index, name in enumerate(names)}


def _precision(
    annotations: list[dict[str, Any]], found: list[dict[str, Any]], data: dict[str, Any], task: str, fast: bool
) -> tuple[np.ndarray, np.ndarray]:
    """COCOeval's precision (IoU, recall, class, area), -1 where there is nothing to find, and its IoU thresholds."""
    index, evaluator, options = _library(fast)

    def indexed(rows: list[dict[str, Any]]) -> Any:
        api = index()
        kept = {key: data[key] for key in ("images", "categories")}
        api.dataset = {"info": {}, "annotations": rows, **kept}
        api.createIndex()
        return api

    evaluation = evaluator(indexed(annotations), indexed(found), task, **options)
    evaluation.params.maxDets = [_MAX_DETECTIONS]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"][..., -1], evaluation.params.iouThrs


def _detections(results: Sequence[Result], task: str, pairs: Collection[tuple[int, int]]) -> list[dict[str, Any]]:
    """What COCO.loadRes makes of results, with no more of each than COCOeval reads.

    A detection of a class that its image does not have is never compared with anything: of its mask only the area is
    kept, which spares COCOeval the parsing of most masks.

    Args:
        results: in COCO's result format.
        task: "bbox" or "segm".
        pairs: (image, class) of the objects.
    """
    field = "bbox" if task == "bbox" else "segmentation"
    given = [row for row in results if field in row]
    shapes = [row[field] for row in given]
    areas = [w * h for _, _, w, h in shapes] if task == "bbox" else _mask_areas(shapes)
    rows = []
    for number, (row, shape, area) in enumerate(zip(given, shapes, areas, strict=True), 1):
        image, category = row["image_id"], row["category_id"]
        if task == "segm" and (image, category) not in pairs:
            shape = _NO_MASK
        kept = {"id": number, "image_id": image, "category_id": category, "score": row["score"], "iscrowd": 0}
        rows.append(kept | {"area": area, field: shape})
    return rows


def _mask_areas(rles: Sequence[dict[str, Any]]) -> list[float]:
    blocks = (mask_util.area(rles[start : start + _AREAS]) for start in range(0, len(rles), _AREAS))
    return list(itertools.chain.from_iterable(block.tolist() for block in blocks))


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Spare the search for circles among millions of fresh dicts, which would take as long as the evaluation."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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


def _percent_mean(precision: np.ndarray) -> float:
    known = precision[precision > -1]
    return float(known.mean()) * 100 if known.size else float("nan")
