"""Class maps by color: foreground and background of each neighborhood are separated by their mean colors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ..points import ImagePoints
from .source import ClassMap, DepthMap, RGBImage, all_unknown, apply_knowledge

_ROUNDS = 6
_WIDEST = 6.0  # standard deviation of a filter, pixels
_SMOOTHING = 0.7  # pixels
_GLOBAL_SHARE = 0.02  # weight of the mean color of the whole image in a local mean
_NEIGHBORS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class ThresholdQuality:
    """Agreement of a foreground with the points.

    Attributes:
        inside: share of the points that lie in the foreground.
        explained: share of the foreground in components that contain a point.
        largest: area of the largest component with a point, as a share of the image.
        border: share of the image border that is foreground.
    """

    inside: float
    explained: float
    largest: float
    border: float

    @property
    def separates(self) -> bool:
        """True if the threshold separates the objects from the background."""
        return self.inside >= 0.5 and self.explained >= 0.5 and self.largest <= 0.15 and self.border <= 0.5


class ThresholdClassMaps:
    """Class maps of images whose objects are all brighter or all darker than what surrounds them.

    Otsu's threshold on the square root of the gray value is the start. The foreground is the side with more points per
    area. Then each pixel is assigned to the closer one of two local mean colors, of foreground and background. The
    means are computed anew in each round. The neighborhood has the radius of a mean object.

    Args:
        radius: radius of the discs around points that have the class of their object, pixels.
    """

    def __init__(self, radius: int = 2) -> None:
        self._radius = radius

    def __call__(
        self, record: Mapping[str, Any], image: RGBImage, points: ImagePoints, depth: DepthMap | None
    ) -> ClassMap:
        """Return the class map of an image; without a point, all pixels are unknown."""
        return self.from_foreground(find_foreground(image, points), points)

    def from_foreground(self, foreground: NDArray[np.bool_], points: ImagePoints) -> ClassMap:
        """Return the class map of a foreground (H, W) bool: each of its pixels has the class of the nearest point."""
        if not len(points):
            return all_unknown((foreground.shape[0], foreground.shape[1]))
        class_map = np.zeros(foreground.shape, dtype=np.uint8)
        y, x = np.nonzero(foreground)
        _, nearest = cKDTree(points.pixels()).query(np.stack([x, y], axis=1))
        class_map[y, x] = points.classes[nearest] + 1
        return apply_knowledge(class_map, points, self._radius)


def find_foreground(image: RGBImage, points: ImagePoints) -> NDArray[np.bool_]:
    """Return the pixels (H, W) bool of the objects, see ``ThresholdClassMaps``."""
    if not len(points):
        return np.zeros(image.shape[:2], dtype=bool)
    colors = np.sqrt(image.astype(np.float32))
    foreground = _initial_foreground(image, points)
    for _ in range(_ROUNDS):
        if not foreground.any() or foreground.all():
            break
        radius = np.sqrt(foreground.sum() / len(points) / np.pi)
        foreground = _separate_locally(colors, foreground, float(max(radius, 2.0)))
    return _fill_holes(foreground, points)


def measure_threshold(foreground: NDArray[np.bool_], points: ImagePoints) -> ThresholdQuality:
    """Measure the agreement of a foreground (H, W) bool with the points."""
    if not len(points) or not foreground.any():
        return ThresholdQuality(0.0, 0.0, 0.0, 0.0)
    labels, count = ndimage.label(foreground, _NEIGHBORS)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    of_points = labels[_rows_and_columns(points, foreground.shape)]
    found = np.unique(of_points[of_points > 0])
    border = np.concatenate([foreground[0], foreground[-1], foreground[:, 0], foreground[:, -1]])
    return ThresholdQuality(
        float((of_points > 0).mean()),
        float(areas[found].sum() / areas[1:].sum()),
        float(areas[found].max(initial=0) / foreground.size),
        float(border.mean()),
    )


def _initial_foreground(image: RGBImage, points: ImagePoints) -> NDArray[np.bool_]:
    gray = np.sqrt(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32))
    low, high = np.percentile(gray, [0.1, 99.9])
    scaled = np.clip((gray - low) / max(float(high - low), 1e-6) * 255, 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_OTSU)
    bright = scaled > threshold
    points_inside = int(bright[_rows_and_columns(points, bright.shape)].sum())
    area = int(bright.sum())
    bright_density = points_inside / max(area, 1)
    dark_density = (len(points) - points_inside) / max(bright.size - area, 1)
    return bright if bright_density >= dark_density else ~bright


def _separate_locally(colors: NDArray[np.float32], foreground: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Assign each pixel to the closer one of the two mean colors of its neighborhood."""
    means = [_local_mean(colors, part.astype(np.float32), radius) for part in (foreground, ~foreground)]
    axis = means[0] - means[1]
    place = ((colors - means[1]) * axis).sum(axis=2) / ((axis**2).sum(axis=2) + 1e-3)
    return np.asarray(cv2.GaussianBlur(place, (0, 0), _SMOOTHING) > 0.5)


def _local_mean(colors: NDArray[np.float32], weight: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Return the mean color (H, W, 3) of the pixels of a part around each pixel."""
    weighted = colors * weight[:, :, None]
    overall = weighted.sum(axis=(0, 1)) / weight.sum()
    total = _blur(weight, radius)[:, :, None] + _GLOBAL_SHARE
    return (_blur(weighted, radius) + _GLOBAL_SHARE * overall) / total


def _blur(values: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Smooth values by a Gaussian; a wide one is applied to a smaller copy, which saves most of the time."""
    height, width = values.shape[:2]
    shrink = max(1.0, radius / _WIDEST)
    if shrink > 1:
        size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
        values = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(values, (0, 0), radius / shrink, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(smooth, (width, height)) if shrink > 1 else smooth)


def _fill_holes(foreground: NDArray[np.bool_], points: ImagePoints) -> NDArray[np.bool_]:
    """Fill holes that are smaller than a mean object."""
    holes, count = ndimage.label(ndimage.binary_fill_holes(foreground) & ~foreground)
    areas = np.bincount(holes.ravel(), minlength=count + 1)
    small = areas < max(foreground.sum() / len(points), 16)
    small[0] = False
    return np.asarray(foreground | small[holes])


def _rows_and_columns(points: ImagePoints, size: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixels of the points as indices, limited to the image."""
    x, y = points.pixels().T
    return np.clip(y, 0, size[0] - 1), np.clip(x, 0, size[1] - 1)
