"""Conversion of the annotations of an image to ``Instances`` for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.config import CfgNode
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances
from fvcore.transforms.transform import Transform
from numpy.typing import NDArray

from ..io.coco_masks import segmentation_to_rle

Annotation = Mapping[str, Any]

# Polygons are drawn edge by edge: larger coordinates, in pixels, would take all memory.
_FARTHEST = 1e6

# Fields of a training sample besides boxes and classes, by MODEL.MASK_SUPERVISION.
MASK_FIELDS: dict[str, tuple[str, ...]] = {"box": (), "mask": ("gt_masks",), "mixed": ("gt_masks", "gt_has_mask")}


def required_fields(cfg: CfgNode) -> tuple[str, ...]:
    """Return the fields that the data mapper has to provide for training: those of the supervision, and ``depth``.

    Raises:
        ValueError: ``MODEL.MASK_SUPERVISION`` is unknown.
    """
    kind = cfg.MODEL.MASK_SUPERVISION
    if kind not in MASK_FIELDS:
        raise ValueError(f"MODEL.MASK_SUPERVISION must be {', '.join(MASK_FIELDS)}, got {kind!r}")
    weight = ("gt_weight",) if cfg.INPUT.OBJECT_WEIGHT and "gt_masks" in MASK_FIELDS[kind] else ()
    return MASK_FIELDS[kind] + weight + (("depth",) if cfg.INPUT.DEPTH.ENABLED else ())


def require_boxes(records: Sequence[Mapping[str, Any]], source: str) -> None:
    """Check before training that each object has a box.

    Args:
        records: dataset dicts of one dataset; crowds are not examined.
        source: its annotation file, for the message.

    Raises:
        ValueError: objects have no box. The message names the file, an object, and the commands that train from points.
    """
    found = [
        (record.get("file_name", "an image"), annotation.get("id", "(no id)"))
        for record in records
        for annotation in record.get("annotations", ())
        if "bbox" not in annotation and not annotation.get("iscrowd", 0)
    ]
    if found:
        file_name, number = found[0]
        raise ValueError(
            f"{source} has {len(found)} objects without a box (such as annotation {number} of {file_name}), and this "
            f"network trains from boxes: train from the points with `depthbox train --data {source} --method p2seg`, "
            "or compute the masks and boxes of the points first with `depthbox label`"
        )


def boxes_to_instances(annotations: Sequence[Annotation], transforms: Transform, size: tuple[int, int]) -> Instances:
    """Transform boxes and classes of objects; no other key of an annotation is read.

    Args:
        annotations: with ``bbox``, ``bbox_mode`` (absolute) and ``category_id`` (contiguous).
        transforms: applied to the image.
        size: (height, width) of the image after the transforms.

    Returns:
        Instances with ``gt_boxes`` (N, 4) float32 clipped to the image and ``gt_classes`` (N,) int64; N may
        be 0, boxes may be empty.

    Raises:
        ValueError: an object has no ``bbox``.
    """
    height, width = size
    boxes = np.array([_to_corners(annotation) for annotation in annotations], dtype=np.float64).reshape(-1, 4)
    if len(boxes):
        boxes = transforms.apply_box(boxes)
    boxes = np.clip(boxes, 0, (width, height, width, height))
    instances = Instances(size)
    instances.gt_boxes = Boxes(torch.as_tensor(boxes, dtype=torch.float32))
    instances.gt_classes = torch.tensor([int(a["category_id"]) for a in annotations], dtype=torch.int64)
    return instances


def transform_mask(
    segmentation: Any, transforms: Transform, image_size: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Rasterize the segmentation of one object after the transforms.

    Args:
        segmentation: polygons ``[[x0, y0, x1, y1, ...], ...]``, a COCO RLE (compressed or not), or an (H, W)
            array.
        transforms: applied to the image. The points of polygons are transformed and drawn at the new size, so that
            outlines stay sharp; bitmaps are resampled (nearest).
        image_size: (height, width) of the image before the transforms.
        size: (height, width) of the image after the transforms.

    Returns:
        (height, width) bool.

    Raises:
        ValueError: an empty or malformed segmentation, or a bitmap of another size than the image.
    """
    if isinstance(segmentation, list):
        return _draw_polygons(segmentation, transforms, size)
    if isinstance(segmentation, Mapping):
        if segmentation.get("size") != list(image_size):
            raise ValueError(f"the mask is {segmentation.get('size')} (height, width), the image {list(image_size)}")
        segmentation = mask_util.decode(segmentation_to_rle(segmentation, image_size))
    if not isinstance(segmentation, np.ndarray):
        raise ValueError(f"a segmentation is polygons, an RLE or an array, not {type(segmentation).__name__}")
    if segmentation.shape != tuple(image_size):
        raise ValueError(f"the mask is {segmentation.shape} (height, width), the image {tuple(image_size)}")
    return transforms.apply_segmentation(segmentation.astype(np.uint8)).astype(bool)


def add_masks(instances: Instances, masks: Sequence[NDArray[np.bool_] | None], mixed: bool) -> Instances:
    """Return a copy with ``gt_masks`` and, if objects may have no mask, ``gt_has_mask``.

    Args:
        instances: N instances.
        masks: N bool arrays (height, width), or None for an object without a mask, whose bitmap is all zero.
        mixed: whether to set ``gt_has_mask``.

    Returns:
        The instances with ``gt_masks`` (BitMasks) and, if ``mixed``, ``gt_has_mask`` (N,) bool.
    """
    instances = Instances(instances.image_size, **instances.get_fields())
    tensor = torch.zeros((len(masks), *instances.image_size), dtype=torch.bool)
    for index, mask in enumerate(masks):
        if mask is not None:
            tensor[index] = torch.from_numpy(np.ascontiguousarray(mask))
    instances.gt_masks = BitMasks(tensor)
    if mixed:
        instances.gt_has_mask = torch.tensor([mask is not None for mask in masks], dtype=torch.bool)
    return instances


def add_weights(instances: Instances, annotations: Sequence[Annotation]) -> Instances:
    """Return a copy with ``gt_weight`` (N,) float32 in [0, 1], the weights of the objects' masks.

    The weight is the ``score`` of an annotation, limited to [0, 1], and 1 without a score. A ``fallback``, a square in
    place of a mask, has the weight 0.

    Args:
        instances: N instances.
        annotations: the N annotations.
    """
    instances = Instances(instances.image_size, **instances.get_fields())
    weights = [0.0 if a.get("fallback") else min(max(float(a.get("score", 1.0)), 0.0), 1.0) for a in annotations]
    instances.gt_weight = torch.tensor(weights, dtype=torch.float32)
    return instances


def drop_empty(instances: Instances) -> Instances:
    """Remove the objects whose box has no area, or whose mask has no pixel."""
    keep = instances.gt_boxes.nonempty()
    if instances.has("gt_masks"):
        drawn = instances.gt_masks.tensor.flatten(1).any(dim=1)
        keep &= drawn | ~instances.gt_has_mask if instances.has("gt_has_mask") else drawn
    return instances[keep]


def _to_corners(annotation: Annotation) -> list[float]:
    if "bbox" not in annotation:
        raise ValueError(
            f"annotation {annotation.get('id', '(no id)')} has no box: train from points with `depthbox train --method "
            "p2seg`, or compute the masks and boxes of the points first with `depthbox label`"
        )
    box = [float(value) for value in annotation["bbox"]]
    return BoxMode.convert(box, annotation["bbox_mode"], BoxMode.XYXY_ABS)


def _draw_polygons(polygons: list, transforms: Transform, size: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = size
    points = [np.asarray(polygon, dtype=np.float64).reshape(-1) for polygon in polygons]
    if not points or any(len(p) < 6 or len(p) % 2 for p in points):
        raise ValueError("a polygon needs three points or more, as x0, y0, x1, y1, ...")
    if not all(np.abs(p).max() <= _FARTHEST for p in points):  # also NaN
        raise ValueError("a polygon has coordinates that are NaN or far outside any image")
    # Unlike apply_polygons, apply_coords needs no polygon library; the rasterization clips to the image.
    moved = [transforms.apply_coords(p.reshape(-1, 2).copy()).reshape(-1).tolist() for p in points]
    return mask_util.decode(mask_util.merge(mask_util.frPyObjects(moved, height, width))).astype(bool)
