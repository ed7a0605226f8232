"""Masks in the encodings of COCO: run lengths (RLE) and polygons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray

from .annotations.canonical.outlines import are_runs, is_polygon
from .annotations.canonical.rle import measure_runs
from .annotations.notes import shorten

MASK_FORMATS = ("rle", "polygons")
BinaryMask = NDArray[np.bool_]

# Contours run through the centers of the border pixels and would shrink the mask by half a pixel on each side. Each
# pixel is enlarged to 3 x 3, which reduces this to a sixth of a pixel.
_ENLARGEMENT = 3


def crop_to_rle(mask: BinaryMask, left: int, top: int, size: tuple[int, int]) -> dict[str, Any]:
    """Encode a mask of a part of an image as a compressed RLE of the whole image.

    Args:
        mask: (h, w) bool.
        left, top: first column and row of the part in the image.
        size: (height, width) of the image.

    Returns:
        ``{"size": [height, width], "counts": str}``.
    """
    rows, columns = mask.shape
    whole = np.zeros(size, dtype=np.uint8, order="F")
    whole[top : top + rows, left : left + columns] = mask
    rle = mask_util.encode(whole)
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def segmentation_to_rle(segmentation: Any, size: Sequence[int]) -> dict[str, Any]:
    """Convert polygons, a compressed or an uncompressed RLE to a compressed RLE.

    Args:
        segmentation: of a COCO annotation or result, of any origin: pycocotools ends the process on bad ones.
        size: (height, width) of the image.

    Raises:
        ValueError: the segmentation is not one of the three, or has other numbers of pixels than the image.
    """
    height, width = size
    if isinstance(segmentation, list):
        if not segmentation or not all(is_polygon(polygon, height, width) for polygon in segmentation):
            raise ValueError("the segmentation is not a list of polygons [x, y, x, y, ...] inside the image")
        return mask_util.merge(mask_util.frPyObjects(segmentation, height, width))
    if not isinstance(segmentation, Mapping) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError("the segmentation is neither polygons nor an RLE with size and counts")
    if segmentation["size"] != [height, width]:
        raise ValueError(f"the mask is {shorten(segmentation['size'])} (height, width), the image {[height, width]}")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if not are_runs(counts, height * width):
            raise ValueError("the counts of the RLE do not fill the image")
        return mask_util.frPyObjects(dict(segmentation), height, width)
    text = counts.decode("latin-1") if isinstance(counts, bytes) else counts
    if not isinstance(text, str) or not measure_runs([text], [height * width], allow_empty=True).sound[0]:
        raise ValueError("the counts of the RLE are damaged or do not fill the image")
    return dict(segmentation)


def filled_box(box: Sequence[float], size: Sequence[int]) -> dict[str, Any]:
    """Encode the pixels whose centers lie in a COCO box as an RLE.

    Args:
        box: x, y, width, height in pixels.
        size: (height, width) of the image.
    """
    mask = np.zeros(size, dtype=np.uint8, order="F")
    mask[pixels_inside([box[0], box[1], box[0] + box[2], box[1] + box[3]])] = 1
    return mask_util.encode(mask)


def clip_box(box: Sequence[float], size: tuple[int, int]) -> list[float] | None:
    """Clip a COCO box to an image.

    Args:
        box: x, y, width, height in pixels.
        size: (height, width) of the image.

    Returns:
        x0, y0, x1, y1; None if less than half a pixel of a side is inside the image.
    """
    x0, y0 = max(box[0], 0.0), max(box[1], 0.0)
    x1, y1 = min(box[0] + box[2], float(size[1])), min(box[1] + box[3], float(size[0]))
    return [x0, y0, x1, y1] if x1 - x0 >= 0.5 and y1 - y0 >= 0.5 else None


def pixels_inside(corners: Sequence[float]) -> tuple[slice, slice]:
    """Return the rows and columns of the pixels whose centers lie in a box xyxy; the end may exceed the image."""
    left, top, right, bottom = (max(math.ceil(value - 0.5), 0) for value in corners)
    return slice(top, bottom), slice(left, right)


def rle_to_polygons(segmentation: dict[str, Any]) -> list[list[float]]:
    """Convert an RLE to polygons; see ``to_polygons``."""
    left, top, width, height = (round(value) for value in mask_util.toBbox(segmentation))
    mask = mask_util.decode(segmentation).astype(bool)
    return to_polygons(mask[top : top + height, left : left + width], left, top)


def to_polygons(
    mask: BinaryMask, left: int, top: int, *, tolerance: float = 0.5, least: float = 0.01
) -> list[list[float]]:
    """Convert a mask to COCO polygons, one for each connected part.

    COCO polygons cannot have holes. A part with a hole is therefore cut through the hole into parts that touch along
    the cut. Small parts and small holes are dropped.

    Args:
        mask: (h, w) bool, a part of an image.
        left, top: first column and row of the part in the image.
        tolerance: largest distance of a simplified contour from the exact one, in pixels.
        least: parts and holes of a smaller share of the mask's area are dropped; the largest part is kept.

    Returns:
        Lists x, y, x, y, ... of at least three points, in pixels of the image. The largest polygon comes first, because
        some programs read only one. [] for an empty mask.
    """
    import cv2

    smallest = max(least * float(mask.sum()), 1.0)
    found = []
    for part in _split_at_holes(_drop_small(mask, smallest)):
        enlarged = np.kron(part, np.ones((_ENLARGEMENT, _ENLARGEMENT), dtype=np.uint8))
        contours, _ = cv2.findContours(enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            points = cv2.approxPolyDP(contour, tolerance * _ENLARGEMENT, True)
            if len(points) < 3:  # the part is smaller than the tolerance
                points = contour
            places = (points[:, 0].astype(np.float64) + 0.5) / _ENLARGEMENT + (left, top)
            found.append((float(cv2.contourArea(contour)), [round(float(v), 2) for v in places.ravel()]))
    return [polygon for _, polygon in sorted(found, key=lambda pair: -pair[0])]


def _drop_small(mask: BinaryMask, smallest: float) -> NDArray[np.uint8]:
    """Remove small parts of a mask, except the largest one, and fill its small holes."""
    import cv2

    result = mask.astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(result, connectivity=8)
    if count > 2:
        areas = stats[:, cv2.CC_STAT_AREA].copy()
        areas[0] = areas.max()  # the background
        areas[1 + int(areas[1:].argmax())] = areas[0]
        result[(areas < smallest)[labels]] = 0
    holes = _find_holes(result)
    result[np.isin(holes.labels, [hole for hole in holes.enclosed if holes.areas[hole] < smallest])] = 1
    return result


def _split_at_holes(mask: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Split a mask into parts that enclose no hole."""
    done, waiting = [], [mask]
    while waiting:
        part = waiting.pop()
        holes = _find_holes(part)
        if holes.enclosed:  # a cut along the middle row of the hole opens it on both sides
            rows = np.flatnonzero((holes.labels == holes.enclosed[0]).any(1))
            row = int(rows[len(rows) // 2])
            above, below = part.copy(), part.copy()
            above[row:], below[:row] = 0, 0
            waiting += [above, below]
        elif part.any():
            done.append(part)
    return done


@dataclass(frozen=True)
class _Holes:
    """Connected components of the background of a mask.

    Attributes:
        labels: (h, w) number of the component of each background pixel.
        enclosed: the components that the mask encloses.
        areas: pixels of each component, by its number.
    """

    labels: NDArray[np.int32]
    enclosed: list[int]
    areas: NDArray[np.int32]


def _find_holes(mask: NDArray[np.uint8]) -> _Holes:
    """Find the holes of a mask: 4-connected, because mask pixels are 8-connected as in ``cv2.findContours``."""
    import cv2

    padded = np.pad(mask == 0, 1, constant_values=True).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(padded, connectivity=4)
    outside = labels[0, 0]
    enclosed = [label for label in range(1, count) if label != outside]
    return _Holes(labels[1:-1, 1:-1], enclosed, stats[:, cv2.CC_STAT_AREA])
