"""Masks as COCO writes them: run lengths or polygons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray

FORMATS = ("rle", "polygons")
Mask = NDArray[np.bool_]

# Outlines run through the centres of what they enclose and would lose half a pixel all round: with dots, a sixth.
_DOTS = 3


def to_rle(mask: Mask, left: int, top: int, size: tuple[int, int]) -> dict[str, Any]:
    """A piece of an image as a compressed RLE of the whole image, counts as str.

    Args:
        mask: (rows, columns) bool.
        left, top: its first pixel in the image.
        size: (height, width) of the image.
    """
    rows, columns = mask.shape
    whole = np.zeros(size, dtype=np.uint8, order="F")
    whole[top : top + rows, left : left + columns] = mask
    rle = mask_util.encode(whole)
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def to_polygons(mask: Mask, left: int, top: int, *, tolerance: float = 0.5, least: float = 0.01) -> list[list[float]]:
    """The outlines of a mask as COCO polygons, each piece one.

    COCO's polygons have no holes: what they enclose is filled. So a hole is cut open: the piece is divided by a line
    through each hole, into parts without holes, which touch along it. Pieces and holes that are small are dropped.

    Args:
        mask: (rows, columns) bool.
        left, top: its first pixel in the image.
        tolerance: how far, in pixels, an outline may leave the pixels' border to have fewer points.
        least: pieces and holes of a smaller share of the mask are dropped, the largest piece never.

    Returns:
        Lists x, y, x, y, ... of three points or more, the largest first (some programs read only that one); [] for an
        empty mask.
    """
    import cv2

    smallest = max(least * float(mask.sum()), 1.0)
    found = []
    for part in _without_holes(_drop_small(mask, smallest)):
        dots = np.kron(part, np.ones((_DOTS, _DOTS), dtype=np.uint8))
        outlines, _ = cv2.findContours(dots, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for outline in outlines:
            points = cv2.approxPolyDP(outline, tolerance * _DOTS, True)
            if len(points) < 3:  # so small that nothing is left of it
                points = outline
            places = (points[:, 0].astype(np.float64) + 0.5) / _DOTS + (left, top)
            found.append((float(cv2.contourArea(outline)), [round(float(v), 2) for v in places.ravel()]))
    return [polygon for _, polygon in sorted(found, key=lambda pair: -pair[0])]


def _drop_small(mask: Mask, smallest: float) -> NDArray[np.uint8]:
    """The mask without its small pieces (the largest stays) and with its small holes filled."""
    import cv2

    result = mask.astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(result, connectivity=8)
    if count > 2:
        areas = stats[:, cv2.CC_STAT_AREA].copy()
        areas[0] = areas.max()  # the background
        areas[1 + int(areas[1:].argmax())] = areas[0]
        result[(areas < smallest)[labels]] = 0
    labels, holes, areas = _holes(result)
    result[np.isin(labels, [hole for hole in holes if areas[hole] < smallest])] = 1
    return result


def _without_holes(mask: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Parts of a mask, which together are the mask, none of which encloses a hole."""
    done, waiting = [], [mask]
    while waiting:
        part = waiting.pop()
        labels, holes, _ = _holes(part)
        if holes:  # cut along a row that the hole crosses, which so opens it on both sides
            rows = np.flatnonzero((labels == holes[0]).any(1))
            row = int(rows[len(rows) // 2])
            above, below = part.copy(), part.copy()
            above[row:], below[:row] = 0, 0
            waiting += [above, below]
        elif part.any():
            done.append(part)
    return done


def _holes(mask: NDArray[np.uint8]) -> tuple[NDArray[np.int32], list[int], NDArray[np.int32]]:
    """Labels of what is not in the mask, which of them the mask encloses, and the area of each.

    Pixels of the mask also hang together by their corners, as in ``cv2.findContours``, and so those around it do not.
    """
    import cv2

    padded = np.pad(mask == 0, 1, constant_values=True).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(padded, connectivity=4)
    outside = labels[0, 0]
    holes = [label for label in range(1, count) if label != outside]
    return labels[1:-1, 1:-1], holes, stats[:, cv2.CC_STAT_AREA]


def rle_to_polygons(segmentation: dict[str, Any]) -> list[list[float]]:
    """The outlines of an RLE, see ``to_polygons``."""
    left, top, width, height = (round(value) for value in mask_util.toBbox(segmentation))
    mask = mask_util.decode(segmentation).astype(bool)
    return to_polygons(mask[top : top + height, left : left + width], left, top)


def segmentation_to_rle(segmentation: Any, size: Any) -> dict[str, Any]:
    """Convert polygons or an RLE, compressed or not, to a compressed RLE."""
    if isinstance(segmentation, list):
        return mask_util.merge(mask_util.frPyObjects(segmentation, *size))
    if isinstance(segmentation["counts"], list):
        return mask_util.frPyObjects(dict(segmentation), *segmentation["size"])
    return segmentation
