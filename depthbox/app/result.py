"""What was found in a picture: as pictures to look at, and as COCO json."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from PIL import Image

from ..inference.classes import ClassList
from ..visualization.draw import Color, DrawnObjects, Picture, colorize, draw_objects, instance_color, resize_image
from .boxes import coco_sides

# Pixels of the long side of what is drawn: small pictures are enlarged, large ones are not sent whole.
SHOWN_SIDE = 1080
NO_DEPTH = "this network predicts no depth: it was trained without MODEL.DEPTH.LAYER"


@dataclass(frozen=True)
class Found:
    """An object.

    Attributes:
        label: number of its class, from 0.
        corners: x0, y0, x1, y1 in pixels of the picture.
        score: of the detector, or of a given box the quality of its mask; in [0, 1].
        mask: RLE of the whole picture, counts as str.
        depth: mean predicted depth, 0 far to 1 near; None where the network predicts none.
    """

    label: int
    corners: tuple[float, float, float, float]
    score: float
    mask: dict[str, Any]
    depth: float | None = None

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(mask_util.area(self.mask))


@dataclass(frozen=True)
class Result:
    """The objects of a picture.

    Attributes:
        name: file name of the picture.
        size: its (height, width).
        objects: the surest first, or in the order of the given boxes.
        given: their boxes were given, not detected.
    """

    name: str
    size: tuple[int, int]
    objects: tuple[Found, ...]
    given: bool

    def above(self, threshold: float) -> Result:
        """Without detections of a lower score; given boxes all stay."""
        return self if self.given else replace(self, objects=tuple(o for o in self.objects if o.score >= threshold))


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """At which (height, width) a picture is drawn."""
    scale = SHOWN_SIDE / max(size)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def decode_masks(objects: Sequence[Found], size: tuple[int, int], shown: tuple[int, int]) -> np.ndarray:
    """The masks of objects (N, height, width) bool at the size ``shown``; one is decoded at a time."""
    masks = np.zeros((len(objects), *shown), dtype=bool)
    for place, found in enumerate(objects):
        whole = Image.fromarray(mask_util.decode(found.mask) * np.uint8(255))
        masks[place] = np.asarray(whole.resize((shown[1], shown[0]), Image.Resampling.BILINEAR)) >= 128
    return masks


def draw_result(picture: Picture, result: Result, by: str = "masks") -> Picture:
    """The picture with its masks and boxes, at ``shown_size``.

    Args:
        picture: (H, W, 3) uint8, RGB.
        result: of this picture.
        by: "masks", a colour for each object, or "depth": grey, with each mask dark where it is far and bright where
            it is near.

    Raises:
        ValueError: depth is asked for and there is none.
    """
    shown = shown_size(result.size)
    canvas = resize_image(picture, shown)
    colors = object_colors(result, by)
    if by == "depth":
        canvas = np.repeat(canvas.mean(2, keepdims=True).astype(np.uint8) // 2 + 40, 3, axis=2)
    if not result.objects:
        return canvas
    scale = np.array([shown[1] / result.size[1], shown[0] / result.size[0]] * 2)
    boxes = np.array([found.corners for found in result.objects]) * scale
    masks = decode_masks(result.objects, result.size, shown)
    objects = DrawnObjects(boxes, [""] * len(boxes), masks, colors)
    return draw_objects(canvas, objects, fill=0.85 if by == "depth" else 0.45, boxes=by != "depth")


def object_colors(result: Result, by: str = "masks") -> list[Color]:
    """The colour of each object.

    Raises:
        ValueError: depth is asked for and there is none.
    """
    if by != "depth":
        return [instance_color(number) for number in range(len(result.objects))]
    depths = [found.depth for found in result.objects]
    if any(depth is None for depth in depths):
        raise ValueError(NO_DEPTH)
    rows = colorize(np.array(depths, dtype=np.float64).reshape(-1, 1))[:, 0]
    return [(int(row[0]), int(row[1]), int(row[2])) for row in rows]


def to_coco(result: Result, classes: ClassList) -> dict[str, Any]:
    """A COCO json of the picture: one image, an annotation for each object, with its mask as RLE and its score."""
    annotations = []
    for number, found in enumerate(result.objects, start=1):
        row = {
            "id": number,
            "image_id": 1,
            "category_id": classes.ids[found.label],
            "bbox": coco_sides(found.corners),
            "area": found.area,
            "iscrowd": 0,
            "score": round(found.score, 5),
            "segmentation": found.mask,
        }
        annotations.append(row if found.depth is None else row | {"depth": round(found.depth, 5)})
    image = {"id": 1, "file_name": result.name, "height": result.size[0], "width": result.size[1]}
    return {"images": [image], "annotations": annotations, "categories": classes.categories()}


def json_name(result: Result) -> str:
    """File name of the json of a picture: its own, as far as any system takes it."""
    stem = re.sub(r"[^\w .()-]+", "_", Path(result.name).stem).strip(" .")[:80]
    return f"{stem or 'picture'}_coco.json"
