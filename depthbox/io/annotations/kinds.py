"""Kinds of annotated objects: a mask, a box, or points alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

ObjectKind = Literal["mask", "box", "point"]


def object_kind(entry: Mapping[str, Any]) -> ObjectKind:
    """Return the strongest kind of a canonical annotation: mask, then box, then point."""
    if "segmentation" in entry:
        return "mask"
    return "box" if "bbox" in entry else "point"


def positive_point(entry: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the first point (x, y) of a canonical annotation that lies on its object; None if it has none.

    Coordinates are continuous pixels of the image: (0, 0) is the upper left corner of the first pixel.
    """
    coords, labels = entry.get("point_coords", ()), entry.get("point_labels", ())
    return next(((x, y) for (x, y), label in zip(coords, labels, strict=True) if label == 1), None)
