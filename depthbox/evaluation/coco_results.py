"""Predictions of one image as rows of COCO's result format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.structures import Instances
from torch import Tensor

Result = dict[str, Any]

# Masks coded at a time: the encoder wants a column-major copy of them.
_CHUNK = 16


def instances_to_results(instances: Instances, image_id: int, category_ids: Sequence[int]) -> list[Result]:
    """One image's detections in COCO's result format.

    Args:
        instances: pred_boxes (N, 4) xyxy in pixels of the original image, scores (N,), pred_classes (N,),
            and, where there are masks, pred_masks (N, H, W) bool or pred_masks_rle, N COCO RLEs whose counts are str.
        image_id: the image.
        category_ids: the json's category id of each class.

    Returns:
        N dicts with image_id, category_id, score, bbox [x, y, width, height] and, with masks, segmentation
        (RLE, str).

    Raises:
        ValueError: a class beyond ``category_ids``.
        TypeError: masks that are not bool.
    """
    classes = instances.pred_classes.tolist()
    if classes and max(classes) >= len(category_ids):
        raise ValueError(
            f"image {image_id}: predicted class {max(classes)}, but the data set has {len(category_ids)} "
            "classes; MODEL.FCOS.NUM_CLASSES and the data set do not fit together"
        )
    boxes = instances.pred_boxes.tensor.detach().cpu().double()
    boxes = torch.cat((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), dim=1).tolist()
    rows: list[Result] = [
        {"image_id": image_id, "category_id": category_ids[label], "score": score, "bbox": box}
        for label, score, box in zip(classes, instances.scores.tolist(), boxes, strict=True)
    ]
    rles = _rles(instances)
    if rles is not None:
        for row, rle in zip(rows, rles, strict=True):
            row["segmentation"] = rle
    return rows


def _rles(instances: Instances) -> Sequence[dict[str, Any]] | None:
    if instances.has("pred_masks_rle"):
        return instances.pred_masks_rle
    return encode_masks(instances.pred_masks) if instances.has("pred_masks") else None


def encode_masks(masks: Tensor) -> list[dict[str, Any]]:
    """Run-length code masks (N, H, W) bool; returns N COCO RLEs whose counts are str.

    Raises:
        TypeError: the masks are not bool.
    """
    if masks.dtype != torch.bool:
        raise TypeError(f"pred_masks are bool (after the threshold), not {masks.dtype}")
    rles = []
    for chunk in masks.detach().split(_CHUNK):
        if len(chunk):
            rles += mask_util.encode(np.asfortranarray(chunk.cpu().numpy().view(np.uint8).transpose(1, 2, 0)))
    return [{"size": rle["size"], "counts": rle["counts"].decode("ascii")} for rle in rles]


def fill_boxes(results: Sequence[Result], image_sizes: Mapping[int, tuple[int, int]]) -> list[Result]:
    """The same detections with each mask replaced by its filled box, clipped to the image.

    Args:
        results: rows with image_id, category_id, score, bbox.
        image_sizes: image id -> (height, width).

    Returns:
        Rows with image_id, category_id, score, segmentation.
    """
    filled = []
    for row in results:
        height, width = image_sizes[row["image_id"]]
        x, y, w, h = row["bbox"]
        x0, x1 = np.clip((x, x + w), 0, width)
        y0, y1 = np.clip((y, y + h), 0, height)
        rle = mask_util.frPyObjects(np.array([[x0, y0, x1 - x0, y1 - y0]], dtype=np.float64), height, width)[0]
        kept = {key: row[key] for key in ("image_id", "category_id", "score")}
        filled.append({**kept, "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")}})
    return filled
