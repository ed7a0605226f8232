"""Pixels whose class follows from the points alone: discs, and background between the points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..points import POINT, ImagePoints

UNKNOWN = 255
_CLEARANCE = 3  # pixels between a point and the background seeds


def draw_discs(
    class_map: NDArray[np.uint8], coords: NDArray[np.float64], values: NDArray[np.int64], radius: int
) -> None:
    """Draw a disc of a value around each point (x, y), in place; later points cover earlier ones."""
    height, width = class_map.shape
    dy, dx = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    inside = dy * dy + dx * dx <= radius * radius
    for (x, y), value in zip(np.floor(coords).astype(np.int64), values, strict=True):
        rows, columns = dy[inside] + y, dx[inside] + x
        valid = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        class_map[rows[valid], columns[valid]] = value


def build_seed_map(
    points: ImagePoints, size: tuple[int, int], radius: int, mask_owner: NDArray[np.int32] | None = None
) -> NDArray[np.uint8]:
    """Return the seeds of a class map that is learned from points.

    Foreground: discs around the points, and ground truth masks. Background: discs around background points, the ridges
    of the Voronoi diagram of the points, the border of the image, each farther than 3 pixels from any point, and the
    pixels outside of all boxes if every object has a box or mask.

    Args:
        points: points of the image.
        size: (height, width) of the image.
        radius: radius of the discs, pixels.
        mask_owner: (H, W) int32, index + 1 of the object whose mask contains the pixel; None = no masks.

    Returns:
        (H, W) uint8: 0 background, class + 1, 255 unknown.
    """
    seeds = np.full(size, UNKNOWN, dtype=np.uint8)
    seeds[_between(points, size)] = 0
    if len(points) and (points.kinds != POINT).all():
        seeds[~inside_boxes(points.regions, size)] = 0
    draw_discs(seeds, points.background, np.zeros(len(points.background), dtype=np.int64), radius)
    draw_discs(seeds, points.coords, points.classes + 1, radius)
    if mask_owner is not None and len(points):
        owned = mask_owner > 0
        seeds[owned] = points.classes[mask_owner[owned] - 1] + 1
    return seeds


def _between(points: ImagePoints, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels on the ridges between the points and on the border, away from the points."""
    ridge = np.zeros(size, dtype=bool)
    ridge[[0, -1]] = ridge[:, [0, -1]] = True
    x, y = points.pixels().T
    inside = (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])
    if not inside.any():
        return ridge
    numbers = np.zeros(size, dtype=np.int64)
    numbers[y[inside], x[inside]] = np.flatnonzero(inside) + 1
    distance, (rows, columns) = ndimage.distance_transform_edt(numbers == 0, return_indices=True)
    nearest = numbers[rows, columns]
    ridge[:, :-1] |= nearest[:, :-1] != nearest[:, 1:]
    ridge[:-1] |= nearest[:-1] != nearest[1:]
    return ridge & (distance > _CLEARANCE)


def inside_boxes(boxes: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) bool that lie in at least one of the boxes (N, 4) xyxy."""
    inside = np.zeros(size, dtype=bool)
    for x0, y0, x1, y1 in boxes:
        inside[max(int(y0), 0) : max(int(np.ceil(y1)), 0), max(int(x0), 0) : max(int(np.ceil(x1)), 0)] = True
    return inside
