"""PageResult of the network for one image: drawn, and as COCO JSON."""

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
from ..io.images import RGBImage
from ..visualization.draw import Color, DrawnObjects, colorize, draw_objects, instance_color, resize_image
from .boxes import to_coco_box

# Longer side of the drawn image in pixels: small images are enlarged, large ones are reduced.
DISPLAY_SIDE = 1080
NO_DEPTH = "this network does not predict depth: it was trained without MODEL.DEPTH.LAYER"


@dataclass(frozen=True)
class FoundObject:
    """An object of an image.

    Attributes:
        label: index of the class, from 0.
        corners: x0, y0, x1, y1 in pixels of the image.
        score: score of the detector, or the quality of the mask of a given box; in [0, 1].
        mask: RLE of the whole image, counts as str.
        depth: mean predicted depth, 0 = far, 1 = near; None if the network does not predict depth.
    """

    label: int
    corners: tuple[float, float, float, float]
    score: float
    mask: dict[str, Any]
    depth: float | None = None

    @property
    def area(self) -> int:
        """Number of pixels of the mask."""
        return int(mask_util.area(self.mask))


@dataclass(frozen=True)
class PageResult:
    """Objects of an image.

    Attributes:
        name: file name of the image.
        size: (height, width) of the image.
        objects: detections by descending score, or the objects of given boxes in their order.
        given: whether the boxes were given instead of detected.
    """

    name: str
    size: tuple[int, int]
    objects: tuple[FoundObject, ...]
    given: bool

    def above(self, threshold: float) -> PageResult:
        """Return the result without detections of a lower score; objects of given boxes are kept."""
        return self if self.given else replace(self, objects=tuple(o for o in self.objects if o.score >= threshold))


def display_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) at which an image of a size is drawn."""
    scale = DISPLAY_SIDE / max(size)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def decode_masks(objects: Sequence[FoundObject], size: tuple[int, int]) -> np.ndarray:
    """Decode the masks of N objects one after the other, and resize them; returns (N, *size) bool.

    Rows and columns of masks that are more than four times as large are skipped.
    """
    masks = np.zeros((len(objects), *size), dtype=bool)
    for index, found in enumerate(objects):
        columns = mask_util.decode(found.mask).T  # contiguous, as RLEs run along columns
        step = max(min(columns.shape[0] // size[1], columns.shape[1] // size[0]) // 2, 1)
        whole = Image.fromarray(np.ascontiguousarray(columns[::step, ::step]) * np.uint8(255))
        masks[index] = np.asarray(whole.resize(size, Image.Resampling.BILINEAR)).T >= 128
    return masks


def draw_result(image: RGBImage, result: PageResult, by: str = "masks") -> RGBImage:
    """Draw the masks and boxes of an image, at ``display_size``.

    Args:
        image: (H, W, 3) uint8, RGB.
        result: result of this image.
        by: "masks", one color per object, with boxes; or "depth", on gray, far masks dark and near masks bright.

    Raises:
        ValueError: ``by`` is "depth" and the objects have no depth.
    """
    size = display_size(result.size)
    canvas = resize_image(image, size)
    colors = choose_colors(result, by)
    if by == "depth":
        canvas = np.repeat(canvas.mean(2, keepdims=True).astype(np.uint8) // 2 + 40, 3, axis=2)
    if not result.objects:
        return canvas
    scale = np.array([size[1] / result.size[1], size[0] / result.size[0]] * 2)
    boxes = np.array([found.corners for found in result.objects]) * scale
    objects = DrawnObjects(boxes, [""] * len(boxes), decode_masks(result.objects, size), colors)
    return draw_objects(canvas, objects, fill=0.85 if by == "depth" else 0.45, boxes=by != "depth")


def choose_colors(result: PageResult, by: str = "masks") -> list[Color]:
    """Choose the color of each object; see ``draw_result``.

    Raises:
        ValueError: ``by`` is "depth" and the objects have no depth.
    """
    if by != "depth":
        return [instance_color(number) for number in range(len(result.objects))]
    depths = [found.depth for found in result.objects]
    if any(depth is None for depth in depths):
        raise ValueError(NO_DEPTH)
    colors = colorize(np.array(depths, dtype=np.float64).reshape(-1, 1))[:, 0]
    return [(int(red), int(green), int(blue)) for red, green, blue in colors]


def to_coco(result: PageResult, classes: ClassList) -> dict[str, Any]:
    """Convert a result to the content of a COCO JSON file with one image; masks are RLEs, annotations have scores."""
    annotations = []
    for number, found in enumerate(result.objects, start=1):
        entry = {
            "id": number,
            "image_id": 1,
            "category_id": classes.ids[found.label],
            "bbox": to_coco_box(found.corners),
            "area": found.area,
            "iscrowd": 0,
            "score": round(found.score, 5),
            "segmentation": found.mask,
        }
        annotations.append(entry if found.depth is None else entry | {"depth": round(found.depth, 5)})
    image = {"id": 1, "file_name": result.name, "height": result.size[0], "width": result.size[1]}
    return {"images": [image], "annotations": annotations, "categories": classes.categories()}


def make_json_name(result: PageResult) -> str:
    """Make the name of a JSON file from that of the image, without characters that some file systems refuse."""
    stem = re.sub(r"[^\w .()-]+", "_", Path(result.name).stem).strip(" .")[:80]
    return f"{stem or 'image'}_coco.json"
