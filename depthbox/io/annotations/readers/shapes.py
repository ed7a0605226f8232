"""Boxes, outlines and points of objects in pixels, as COCO stores them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Point = tuple[float, float]
_ELLIPSE_POINTS = 64
_DECIMALS = 3


@dataclass(frozen=True)
class ObjectShape:
    """Box and outline, or points, of an object in pixels.

    Attributes:
        bbox: x, y, width, height; None = only points are known.
        segmentation: COCO polygons or an uncompressed RLE; None = only the box or points are known.
        area: of the outline if there is one, otherwise of the box; 0 for points.
        points: points (x, y) on the object.
    """

    bbox: tuple[float, float, float, float] | None
    segmentation: list[list[float]] | dict[str, Any] | None = None
    area: float = 0.0
    points: tuple[Point, ...] = ()

    @property
    def far_corner(self) -> Point:
        """Return the largest x and the largest y of the box, or of the points."""
        if self.bbox is None:
            return max(x for x, _ in self.points), max(y for _, y in self.points)
        return self.bbox[0] + self.bbox[2], self.bbox[1] + self.bbox[3]

    @property
    def is_rle(self) -> bool:
        """Return whether the outline is a mask of the image's size."""
        return isinstance(self.segmentation, dict)

    def scaled(self, across: float, down: float) -> ObjectShape:
        """Return the shape in an image resized by ``across`` in x and ``down`` in y; masks cannot be resized."""
        points = tuple((_round(x * across), _round(y * down)) for x, y in self.points)
        if self.bbox is None:
            return ObjectShape(None, points=points)
        x, y, width, height = self.bbox
        polygons = None
        if isinstance(self.segmentation, list):
            polygons = [
                [_round(value * (down if i % 2 else across)) for i, value in enumerate(polygon)]
                for polygon in self.segmentation
            ]
        bbox = (_round(x * across), _round(y * down), _round(width * across), _round(height * down))
        return ObjectShape(bbox, polygons, _round(self.area * across * down), points)


@dataclass(frozen=True)
class LabeledShape:
    """One object: the name (or number) of its class, its shape, and further keys of its COCO annotation."""

    label: Any
    shape: ObjectShape
    extra: dict[str, Any] = field(default_factory=dict)


def point_shape(points: Sequence[Point]) -> ObjectShape:
    """Return the shape of an object of which one or more points are known."""
    return ObjectShape(None, points=tuple((_round(x), _round(y)) for x, y in points))


def box_shape(x0: float, y0: float, x1: float, y1: float) -> ObjectShape:
    """Return the shape of a box from two opposite corners in any order."""
    x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
    bbox = (_round(x0), _round(y0), _round(x1 - x0), _round(y1 - y0))
    return ObjectShape(bbox, None, _round(bbox[2] * bbox[3]))


def polygon_shape(*polygons: Sequence[Point]) -> ObjectShape:
    """Return the shape of an object that consists of one or more polygons of at least three points."""
    xs = [x for polygon in polygons for x, _ in polygon]
    ys = [y for polygon in polygons for _, y in polygon]
    bbox = box_shape(min(xs), min(ys), max(xs), max(ys)).bbox
    segmentation = [[_round(value) for point in polygon for value in point] for polygon in polygons]
    return ObjectShape(bbox, segmentation, _round(sum(_polygon_area(polygon) for polygon in polygons)))


def rotated_box_shape(box: Sequence[float], degrees: float, pivot: Point) -> ObjectShape:
    """Return the shape of a box (x, y, width, height) turned clockwise about a point."""
    x, y, width, height = box
    if degrees % 360 == 0:
        return box_shape(x, y, x + width, y + height)
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return polygon_shape([_turn(corner, degrees, pivot) for corner in corners])


def ellipse_shape(center: Point, radii: Point, degrees: float = 0.0) -> ObjectShape:
    """Return a polygon that approximates an ellipse turned clockwise about its center."""
    angles = [2 * math.pi * k / _ELLIPSE_POINTS for k in range(_ELLIPSE_POINTS)]
    points = [(center[0] + radii[0] * math.cos(angle), center[1] + radii[1] * math.sin(angle)) for angle in angles]
    return polygon_shape([_turn(point, degrees, center) for point in points])


def mask_shape(mask: npt.NDArray[np.bool_], left: int, top: int, height: int, width: int) -> ObjectShape | None:
    """Return the shape of a mask that covers a part of an image.

    Args:
        mask: (h, w) bool.
        left, top: location of the mask's first pixel in the image; the mask is cropped to the image.
        height, width: of the image.

    Returns:
        The shape with an uncompressed RLE; None if no pixel of the mask lies in the image.
    """
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + mask.shape[1], width), min(top + mask.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return None
    inner = mask[y0 - top : y1 - top, x0 - left : x1 - left]
    columns, lines = np.flatnonzero(inner.any(0)), np.flatnonzero(inner.any(1))
    if not len(columns):
        return None
    full = np.zeros((height, width), bool)
    full[y0:y1, x0:x1] = inner
    bbox = box_shape(x0 + columns[0], y0 + lines[0], x0 + columns[-1] + 1, y0 + lines[-1] + 1).bbox
    segmentation = {"counts": _run_lengths(full), "size": [height, width]}
    return ObjectShape(bbox, segmentation, float(inner.sum()))


def _run_lengths(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return COCO's run lengths of a mask: down the columns, beginning with the background."""
    flat = mask.T.reshape(-1)
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    lengths: list[int] = np.diff(bounds).tolist()
    return [0, *lengths] if flat[0] else lengths


def _turn(point: Point, degrees: float, pivot: Point) -> Point:
    """Turn a point clockwise, as seen in an image whose y axis points down."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    x, y = point[0] - pivot[0], point[1] - pivot[1]
    return pivot[0] + x * cosine - y * sine, pivot[1] + x * sine + y * cosine


def _polygon_area(points: Sequence[Point]) -> float:
    pairs = zip(points, [*points[1:], points[0]], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


def _round(value: float) -> float:
    return round(float(value), _DECIMALS)
