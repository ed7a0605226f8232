"""Predictions in COCO's result format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.structures import Instances
from torch import Tensor

Result = dict[str, Any]

# Number of masks encoded at a time. The encoder needs a column-major copy of them.
_CHUNK = 16


def instances_to_results(instances: Instances, image_id: Any, category_ids: Sequence[Any]) -> list[Result]:
    """Convert the detections of one image to COCO's result format.

    Args:
        instances: pred_boxes (N, 4) xyxy in pixels of the original image, scores (N,), pred_classes (N,) and
            optionally pred_masks (N, H, W) bool or pred_masks_rle, N COCO RLEs whose counts are str.
        image_id: id of the image.
        category_ids: the JSON file's category id of each class.

    Returns:
        N dicts with image_id, category_id, score, bbox [x, y, width, height] and, for instances with masks,
        segmentation (RLE, str).

    Raises:
        ValueError: a class beyond ``category_ids``.
        TypeError: masks that are not bool.
    """
    classes = instances.pred_classes.tolist()
    if classes and max(classes) >= len(category_ids):
        raise ValueError(
            f"image {image_id}: predicted class {max(classes)}, but the dataset has {len(category_ids)} "
            "classes; set MODEL.FCOS.NUM_CLASSES (MODEL.ROI_HEADS.NUM_CLASSES for Mask R-CNN) to the number of "
            "classes of the dataset"
        )
    boxes = instances.pred_boxes.tensor.detach().cpu().double()
    boxes = torch.cat((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), dim=1).tolist()
    results: list[Result] = [
        {"image_id": image_id, "category_id": category_ids[label], "score": score, "bbox": box}
        for label, score, box in zip(classes, instances.scores.tolist(), boxes, strict=True)
    ]
    rles = _get_rles(instances)
    if rles is not None:
        for result, rle in zip(results, rles, strict=True):
            result["segmentation"] = rle
    return results


def _get_rles(instances: Instances) -> Sequence[dict[str, Any]] | None:
    if instances.has("pred_masks_rle"):
        return instances.pred_masks_rle
    return encode_masks(instances.pred_masks) if instances.has("pred_masks") else None


def encode_masks(masks: Tensor) -> list[dict[str, Any]]:
    """Run-length encode masks.

    Args:
        masks: (N, H, W) bool.

    Returns:
        N COCO RLEs whose counts are str.

    Raises:
        TypeError: the masks are not bool.
    """
    if masks.dtype != torch.bool:
        raise TypeError(f"pred_masks must be bool (after the threshold), not {masks.dtype}")
    rles = []
    for chunk in masks.detach().split(_CHUNK):
        if len(chunk):
            rles += mask_util.encode(np.asfortranarray(chunk.cpu().numpy().view(np.uint8).transpose(1, 2, 0)))
    return [{"size": rle["size"], "counts": rle["counts"].decode("ascii")} for rle in rles]


def fill_boxes(results: Sequence[Result], image_sizes: Mapping[Any, tuple[int, int]]) -> list[Result]:
    """Replace the mask of each detection by its filled box, clipped to the image.

    Args:
        results: detections with image_id, category_id, score, bbox.
        image_sizes: image id -> (height, width).

    Returns:
        Detections with image_id, category_id, score, segmentation.
    """
    filled = []
    for result in results:
        height, width = image_sizes[result["image_id"]]
        x, y, w, h = result["bbox"]
        x0, x1 = np.clip((x, x + w), 0, width)
        y0, y1 = np.clip((y, y + h), 0, height)
        rle = mask_util.frPyObjects(np.array([[x0, y0, x1 - x0, y1 - y0]], dtype=np.float64), height, width)[0]
        kept = {key: result[key] for key in ("image_id", "category_id", "score")}
        filled.append({**kept, "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")}})
    return filled
