"""Choice of the source of class maps for each image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..points import ImagePoints
from .geodesic import GeodesicClassMaps
from .source import ClassMap, DepthMap, RGBImage
from .threshold import ThresholdClassMaps, find_foreground, measure_threshold


class AutomaticClassMaps:
    """Class maps by color where a threshold separates the objects, else by geodesic distance.

    Args:
        radius: radius of the discs around points, pixels.
    """

    def __init__(self, radius: int = 2) -> None:
        self._threshold, self._geodesic = ThresholdClassMaps(radius), GeodesicClassMaps(radius)

    def __call__(
        self, record: Mapping[str, Any], image: RGBImage, points: ImagePoints, depth: DepthMap | None
    ) -> ClassMap:
        """Return the class map of an image; without a point, all pixels are unknown."""
        foreground = find_foreground(image, points)
        if measure_threshold(foreground, points).separates:
            return self._threshold.from_foreground(foreground, points)
        return self._geodesic(record, image, points, depth)
