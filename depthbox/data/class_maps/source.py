"""Interface of the sources of class maps, and the rules that hold for all computed maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..points import POINT, ImagePoints
from .point_seeds import UNKNOWN, draw_discs, inside_boxes

ClassMap = NDArray[np.uint8]
RGBImage = NDArray[np.uint8]
DepthMap = NDArray[np.float32]


class ClassMapSource(Protocol):
    """A source of class maps."""

    def __call__(
        self, record: Mapping[str, Any], image: RGBImage, points: ImagePoints, depth: DepthMap | None
    ) -> ClassMap:
        """Return the class map of an image.

        Args:
            record: dict of the image in Detectron2's format.
            image: (H, W, 3) uint8 RGB.
            points: points of the image.
            depth: (H, W) float32 in [0, 1], 1 = near; None = not used.

        Returns:
            (H, W) uint8: 0 background, class + 1, 255 unknown.
        """


def apply_knowledge(class_map: ClassMap, points: ImagePoints, radius: int) -> ClassMap:
    """Return a class map corrected by the points and boxes.

    The discs around points have the class of their object, those around background points are background. Pixels of
    a class outside of all boxes of the class are background if every object of the class in the image has a box.

    Args:
        class_map: (H, W) uint8; not changed.
        points: points of the image.
        radius: radius of the discs, pixels.
    """
    result = class_map.copy()
    for label in np.unique(points.classes):
        of_class = points.classes == label
        if (points.kinds[of_class] != POINT).all():
            result[(result == label + 1) & ~inside_boxes(points.regions[of_class], class_map.shape)] = 0
    order = np.arange(len(points))[::-1]  # the first of two points on one pixel has it
    draw_discs(result, points.background, np.zeros(len(points.background), dtype=np.int64), radius)
    draw_discs(result, points.coords[order], points.classes[order] + 1, radius)
    return result


def all_unknown(size: tuple[int, int]) -> ClassMap:
    """Return a class map (H, W) without any knowledge."""
    return np.full(size, UNKNOWN, dtype=np.uint8)
