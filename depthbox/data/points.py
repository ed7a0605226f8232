"""Points of the objects of an image, and the kind of annotation of each object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.structures import BoxMode
from numpy.typing import NDArray

POINT, BOX, MASK = 0, 1, 2  # kinds of annotation, from weak to strong


@dataclass(frozen=True)
class ImagePoints:
    """One point for each of the N objects of an image, in continuous pixels: pixel c covers [c, c + 1).

    Attributes:
        coords: (N, 2) float64, x and y of the first positive point of each object; the center of the box of an object
            without one.
        classes: (N,) int64, contiguous from 0.
        kinds: (N,) int64, strongest annotation of each object: ``POINT``, ``BOX`` or ``MASK``.
        regions: (N, 4) float64 xyxy, box outside of which no pixel belongs to the object; the whole image if the object
            has a point only.
        background: (M, 2) float64, x and y of points on no object.
    """

    coords: NDArray[np.float64]
    classes: NDArray[np.int64]
    kinds: NDArray[np.int64]
    regions: NDArray[np.float64]
    background: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.classes)

    def pixels(self) -> NDArray[np.int64]:
        """Return the pixels (N, 2) int64 of the points, as x and y."""
        return np.floor(self.coords).astype(np.int64)


def read_points(record: Mapping[str, Any]) -> ImagePoints:
    """Read the points of a dataset dict; crowds are left out.

    Args:
        record: dict of one image with ``height``, ``width``, ``annotations`` and possibly ``background_points``.

    Raises:
        ValueError: an object has neither a point nor a box.
    """
    objects = [entry for entry in record.get("annotations", ()) if not entry.get("iscrowd", 0)]
    whole = (0.0, 0.0, float(record["width"]), float(record["height"]))
    regions = [_box(entry) or whole for entry in objects]
    coords = [_point(entry, region, record) for entry, region in zip(objects, regions, strict=True)]
    return ImagePoints(
        np.array(coords, dtype=np.float64).reshape(-1, 2),
        np.array([int(entry["category_id"]) for entry in objects], dtype=np.int64),
        np.array([_kind(entry) for entry in objects], dtype=np.int64),
        np.array(regions, dtype=np.float64).reshape(-1, 4),
        np.array(record.get("background_points") or [], dtype=np.float64).reshape(-1, 2),
    )


def _kind(entry: Mapping[str, Any]) -> int:
    if entry.get("segmentation"):
        return MASK
    return BOX if "bbox" in entry else POINT


def _box(entry: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    if "bbox" not in entry:
        return None
    left, top, right, bottom = BoxMode.convert([float(v) for v in entry["bbox"]], entry["bbox_mode"], BoxMode.XYXY_ABS)
    return left, top, right, bottom


def _point(
    entry: Mapping[str, Any], region: tuple[float, float, float, float], record: Mapping[str, Any]
) -> tuple[float, float]:
    labels = entry.get("point_labels") or [1] * len(entry.get("point_coords") or ())
    for (x, y), label in zip(entry.get("point_coords") or (), labels, strict=True):
        if label == 1:
            return float(x), float(y)
    if "bbox" not in entry:
        name = record.get("file_name", "an image")
        raise ValueError(
            f"annotation {entry.get('id', '(no id)')} of {name} has neither a positive point nor a box: add "
            "point_coords or bbox (`depthbox check` lists all such objects)"
        )
    return (region[0] + region[2]) / 2, (region[1] + region[3]) / 2
