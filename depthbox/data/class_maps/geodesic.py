"""Class maps by geodesic distance from points and background, over the edges of color and depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra

from ..points import ImagePoints
from .point_seeds import UNKNOWN, build_seed_map
from .source import ClassMap, DepthMap, RGBImage, all_unknown, apply_knowledge

# Cost of a step of one pixel: 1 + COLOR * |Lab gradient| + DEPTH * |depth gradient|.
_COLOR, _DEPTH = 8.0, 4000.0
_SMOOTHING = 0.7  # pixels, before the gradient
_AMBIGUOUS = 0.1  # relative difference of the distances below which a pixel is unknown
_OPENING = 0.5  # side of the window, as a share of the short side, from which an object stands out in depth
_FLAT = 0.004  # height over the opening, below which a pixel is background
_NEIGHBORS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 2**0.5), (1, -1, 2**0.5))  # row, column, distance


@dataclass(frozen=True)
class NearestSeeds:
    """Nearest seed of each pixel.

    Attributes:
        distance: (H, W) float64 geodesic distance, inf without a seed.
        label: (H, W) int64 label of the nearest seed; 0 without a seed.
    """

    distance: NDArray[np.float64]
    label: NDArray[np.int64]


class GeodesicClassMaps:
    """Class maps of images without a threshold that separates the objects.

    A pixel has the class of the geodesically nearest point, or is background if a background seed is nearer. With
    depth, the background seeds are the pixels that do not stand out from their surroundings. Without depth, they lie
    halfway between the points and at the image border.

    Args:
        radius: radius of the discs around points, pixels.
    """

    def __init__(self, radius: int = 2) -> None:
        self._radius = radius

    def __call__(
        self, record: Mapping[str, Any], image: RGBImage, points: ImagePoints, depth: DepthMap | None
    ) -> ClassMap:
        """Return the class map of an image; without a point, all pixels are unknown."""
        size = (image.shape[0], image.shape[1])
        if not len(points):
            return all_unknown(size)
        seeds = build_seed_map(points, size, self._radius)
        background = seeds == 0
        if depth is not None:
            background = (find_flat(depth) | _near(points.background, size, self._radius)) & (seeds != 0)
            background |= seeds == 0 if not background.any() else False
        steps = build_steps(edge_cost(image, depth))
        objects = find_nearest(steps, np.where((seeds > 0) & (seeds < UNKNOWN), seeds, 0).astype(np.int64))
        outside = find_nearest(steps, background.astype(np.int64))
        class_map = np.where(objects.distance < outside.distance, objects.label, 0).astype(np.uint8)
        far = np.maximum(objects.distance, outside.distance)
        with np.errstate(invalid="ignore"):
            class_map[np.abs(objects.distance - outside.distance) < _AMBIGUOUS * far] = UNKNOWN
        return apply_knowledge(class_map, points, self._radius)


def edge_cost(image: RGBImage, depth: DepthMap | None) -> NDArray[np.float64]:
    """Return the cost (H, W) float64 of a step at each pixel, at least 1."""
    cost = 1 + _COLOR * gradient_norm(convert_to_lab(image), _SMOOTHING)
    return cost if depth is None else cost + _DEPTH * gradient_norm(depth[:, :, None], _SMOOTHING)


def find_flat(depth: DepthMap) -> NDArray[np.bool_]:
    """Return the pixels (H, W) bool that do not stand out from their surroundings.

    A pixel stands out if it is nearer than the morphological opening of the depth with a large window, which keeps
    slanted planes, such as a floor, as they are.
    """
    side = max(3, int(_OPENING * min(depth.shape)) | 1)
    padded = cv2.copyMakeBorder(depth, side, side, side, side, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((side, side), dtype=np.uint8))
    flat = (depth - opened[side:-side, side:-side] < _FLAT).astype(np.uint8)
    return cv2.erode(flat, np.ones((3, 3), dtype=np.uint8)).astype(bool)


def build_steps(cost: NDArray[np.float64]) -> csr_matrix:
    """Return the graph of the pixels (H * W nodes, 8 neighbors) with the costs of the steps between them."""
    height, width = cost.shape
    index = np.arange(height * width).reshape(height, width)
    starts, ends, weights = [], [], []
    for down, right, length in _NEIGHBORS:
        first = (slice(0, height - down), slice(max(-right, 0), width - max(right, 0)))
        second = (slice(down, height), slice(max(right, 0), width - max(-right, 0)))
        starts.append(index[first].ravel())
        ends.append(index[second].ravel())
        weights.append(length * (cost[first].ravel() + cost[second].ravel()) / 2)
    entries = (np.concatenate(weights), (np.concatenate(starts), np.concatenate(ends)))
    return coo_matrix(entries, shape=(index.size, index.size)).tocsr()


def find_nearest(steps: csr_matrix, labels: NDArray[np.int64]) -> NearestSeeds:
    """Find the nearest seed of each pixel.

    Args:
        steps: graph of ``build_steps``.
        labels: (H, W) int64 label of each seed, 0 = not a seed.
    """
    flat = labels.ravel()
    seeds = np.flatnonzero(flat)
    if not len(seeds):
        return NearestSeeds(np.full(labels.shape, np.inf), np.zeros(labels.shape, dtype=np.int64))
    distance, _, source = dijkstra(steps, directed=False, indices=seeds, min_only=True, return_predecessors=True)
    return NearestSeeds(distance.reshape(labels.shape), flat[np.maximum(source, 0)].reshape(labels.shape))


def convert_to_lab(image: RGBImage) -> NDArray[np.float32]:
    """Convert an RGB image (H, W, 3) uint8 to CIE Lab, (H, W, 3) float32."""
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), dtype=np.float32)


def gradient_norm(values: NDArray[np.float32], smoothing: float) -> NDArray[np.float64]:
    """Return the norm (H, W) of the gradient of values (H, W, C), per pixel.

    Args:
        values: (H, W, C) float32.
        smoothing: standard deviation of the Gaussian that is applied first, pixels.
    """
    smooth = cv2.GaussianBlur(values, (0, 0), smoothing).reshape(values.shape).astype(np.float64)
    parts = [np.gradient(smooth, axis=axis) for axis in (0, 1) if smooth.shape[axis] > 1]
    return np.sqrt(sum((part**2).sum(axis=2) for part in parts) + np.zeros(values.shape[:2]))


def _near(coords: NDArray[np.float64], size: tuple[int, int], radius: int) -> NDArray[np.bool_]:
    """Return the discs around points as (H, W) bool."""
    disc = np.zeros(size, dtype=np.uint8)
    for x, y in np.floor(coords).astype(int):
        cv2.circle(disc, (int(x), int(y)), radius, 1, -1)
    return disc.astype(bool)
