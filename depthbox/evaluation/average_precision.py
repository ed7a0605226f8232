"""COCO AP by pycocotools or faster-coco-eval."""

from __future__ import annotations

import contextlib
import gc
import io
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pycocotools.mask as mask_util
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .coco_results import Result

_MAX_DETECTIONS = 100  # per image and class
_NO_MASK = {"size": [1, 1], "counts": "1"}
# Number of masks whose area is measured at once; pycocotools 2.0.11 fails at more than 255 under numpy 2.
_AREAS = 200


class AveragePrecision(NamedTuple):
    """COCO AP in percent; NaN if the ground truth has no object for a value.

    Attributes:
        summary: AP, AP50, AP75, APs, APm, APl. Classes without objects do not enter the means.
        by_class: class name -> AP.
    """

    summary: list[float]
    by_class: dict[str, float]


def compute_average_precision(
    sizes: Sequence[tuple[int, int]],
    classes: Sequence[str],
    objects: Sequence[Result],
    detections: Sequence[Result],
    task: str,
    fast: bool,
) -> AveragePrecision:
    """Compute AP at up to 100 detections per image.

    Args:
        sizes: (height, width) of each image. Images and categories are numbered from 1 in the order of the lists.
        classes: name of each category.
        objects: annotations with all keys that COCOeval reads, numbered from 1.
        detections: output of ``convert_detections``.
        task: "bbox" or "segm".
        fast: use faster-coco-eval instead of pycocotools.
    """
    index_class, evaluator, options = _load_library(fast)
    content = {
        "info": {},
        "images": [{"id": number, "height": h, "width": w} for number, (h, w) in enumerate(sizes, 1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
    }

    def index(rows: Sequence[Result]) -> Any:
        api = index_class()
        api.dataset = {**content, "annotations": rows}
        api.createIndex()
        return api

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = evaluator(index(objects), index(detections), task, **options)
        evaluation.params.maxDets = [_MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., -1]  # (IoU, recall, class, area), -1 = no object to find
    return _summarize(precision, evaluation.params.iouThrs, classes)


def _summarize(precision: np.ndarray, thresholds: np.ndarray, classes: Sequence[str]) -> AveragePrecision:
    all_areas = precision[..., 0]
    parts = [all_areas, all_areas[thresholds == 0.5], all_areas[thresholds == 0.75]]
    parts += [precision[..., area] for area in (1, 2, 3)]  # small, medium, large
    by_class = {name: _mean_percent(all_areas[:, :, index]) for index, name in enumerate(classes)}
    return AveragePrecision([_mean_percent(part) for part in parts], by_class)


def convert_detections(
    results: Sequence[Result],
    task: str,
    images: Mapping[Any, int],
    categories: Mapping[Any, int],
    pairs: Collection[tuple[int, int]],
) -> list[Result]:
    """Convert results as COCO.loadRes does, with only those keys that COCOeval reads.

    COCOeval never compares a detection with anything if its image has no object of its class. Of its mask only the
    area is kept, so COCOeval does not have to parse most masks.

    Args:
        results: detections in COCO's result format. Those without the field of the task, or of an unknown image or
            category, are left out.
        task: "bbox" or "segm".
        images, categories: id -> number.
        pairs: (image, category) numbers of all objects.
    """
    field = "bbox" if task == "bbox" else "segmentation"
    given = [r for r in results if field in r and r["image_id"] in images and r["category_id"] in categories]
    shapes = [result[field] for result in given]
    areas = [w * h for _, _, w, h in shapes] if task == "bbox" else _measure_areas(shapes)
    detections = []
    for number, (result, shape, area) in enumerate(zip(given, shapes, areas, strict=True), 1):
        image, category = images[result["image_id"]], categories[result["category_id"]]
        if task == "segm" and (image, category) not in pairs:
            shape = _NO_MASK
        kept = {"id": number, "image_id": image, "category_id": category, "score": result["score"], "iscrowd": 0}
        detections.append(kept | {"area": area, field: shape})
    return detections


def _measure_areas(rles: Sequence[dict[str, Any]]) -> list[float]:
    blocks = (mask_util.area(rles[start : start + _AREAS]) for start in range(0, len(rles), _AREAS))
    return list(itertools.chain.from_iterable(block.tolist() for block in blocks))


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Disable the cyclic garbage collector, whose scans of millions of new dicts take as long as the evaluation."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load_library(fast: bool) -> tuple[Any, Any, dict[str, Any]]:
    """Return the index class, the evaluation class and its options, of faster-coco-eval or pycocotools."""
    if not fast:
        return COCO, COCOeval, {}
    import faster_coco_eval

    return faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster, {"print_function": lambda *_: None}


def _mean_percent(precision: np.ndarray) -> float:
    known = precision[precision > -1]
    return float(known.mean()) * 100 if known.size else float("nan")
