"""Choice of a point of a mask: drawn, farthest from the border, or just off the object."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PointKind = Literal["random", "center", "biased"]
POINT_KINDS: tuple[PointKind, ...] = ("random", "center", "biased")

Mask = NDArray[np.bool_]
Point = tuple[float, float]


def choose_point(mask: Mask, kind: PointKind, generator: np.random.Generator) -> Point:
    """Choose a pixel of a mask.

    Args:
        mask: (H, W) bool with at least one pixel. Pixels beyond the image are outside the mask.
        kind: "random": each pixel is equally likely. "center": the pixel farthest from the border of the mask, the
            first one in row-major order of equal ones; nothing is drawn. "biased": pixels are drawn with the squared
            distance to the border as weight.
        generator: source of the random numbers.

    Returns:
        x, y of the center of the pixel: (c + 0.5, r + 0.5) for column c and row r.

    Raises:
        ValueError: an empty mask or an unknown kind.
    """
    if kind not in POINT_KINDS:
        raise ValueError(f"the kind of points must be one of {', '.join(POINT_KINDS)}, got {kind!r}")
    rows, columns = np.nonzero(mask)
    if not len(rows):
        raise ValueError("a point cannot be chosen in an empty mask")
    if kind == "random":
        place = int(generator.integers(len(rows)))
    else:
        distances = _distances_to_border(mask, rows, columns)
        if kind == "center":
            place = int(distances.argmax())
        else:
            total = np.cumsum(distances**2)
            place = int(np.searchsorted(total, generator.random() * total[-1], side="right"))
    return float(columns[place]) + 0.5, float(rows[place]) + 0.5


def move_off(mask: Mask, point: Point) -> Point | None:
    """Return the center of the pixel outside a mask that is nearest to a point of the mask; None if there is none.

    Args:
        mask: (H, W) bool.
        point: x, y of a pixel's center in the mask.
    """
    if mask.all():
        return None
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    # The nearest pixel outside lies in the bounding box of the mask or next to it.
    top, left = max(int(rows[0]) - 1, 0), max(int(columns[0]) - 1, 0)
    part = mask[top : rows[-1] + 2, left : columns[-1] + 2]
    nearest = ndimage.distance_transform_edt(part, return_distances=False, return_indices=True)
    row, column = nearest[:, int(point[1]) - top, int(point[0]) - left].tolist()
    return left + column + 0.5, top + row + 0.5


def _distances_to_border(mask: Mask, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the distance in pixels of each pixel (rows, columns) of a mask to the nearest pixel outside the mask."""
    import cv2

    top, left = int(rows.min()), int(columns.min())
    part = np.pad(mask[top : int(rows.max()) + 1, left : int(columns.max()) + 1], 1).astype(np.uint8)
    distances = cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(distances[rows - top + 1, columns - left + 1], dtype=np.float64)
