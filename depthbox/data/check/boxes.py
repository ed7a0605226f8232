"""The boxes of a data set: in the right format, inside their images, large enough, not repeated?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .findings import Findings
from .records import BoxTable

GRID = 4  # input pixels per cell of the mask grid
SAME_IOU = 0.95

# A data set of fewer boxes is too small to tell xyxy from xywh.
_FEWEST = 5
_SHARE_OUTSIDE = 0.1
_SHARE_FITTING = 0.95
_SHARE_NORMALISED = 0.5
_TOLERANCE = 1.0  # pixels: rounded boxes may reach that far out of the image

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


def check_boxes(table: BoxTable, findings: Findings, min_size: int, max_size: int) -> None:
    """Check the boxes of a data set.

    Args:
        table: the boxes.
        findings: takes in what is wrong.
        min_size, max_size: the network's input in pixels: images are resized to the short side ``min_size``, or less
            where their long side would be more than ``max_size``.
    """
    sizes = np.array([image.size or (0, 0) for image in table.images], dtype=np.float64).reshape(-1, 2)[table.image]
    known = sizes[:, 0] > 0
    if _check_normalised(table, sizes, findings) or _check_xyxy(table, sizes, findings):
        return  # in a wrong format nearly every box would be called outside, tiny or more
    sound = _check_sides(table, findings)
    inside = _check_inside(table, sound & known, sizes, findings)
    _check_tiny(table, inside & ~table.crowd, sizes, (min_size, max_size), findings)
    _check_duplicates(table, sound & ~table.crowd, findings)


def _check_normalised(table: BoxTable, sizes: Values, findings: Findings) -> bool:
    """Whether boxes hold shares of the image's sides instead of pixels."""
    boxes = table.boxes
    within = ((boxes >= 0) & (boxes <= 1)).all(1) & (boxes[:, 2:] > 0).all(1) & (boxes != np.rint(boxes)).any(1)
    shares = within & (sizes.min(1, initial=np.inf) > GRID)
    if shares.sum() < max(1, _SHARE_NORMALISED * len(boxes)):
        return False
    for row in np.flatnonzero(shares):
        findings.add("box_normalised", table.example(row, f"bbox {_text(boxes[row])}"))
    return True


def _check_xyxy(table: BoxTable, sizes: Values, findings: Findings) -> bool:
    """Whether boxes are x0, y0, x1, y1: read so they all fit into their images, as COCO reads them many do not."""
    known = sizes[:, 0] > 0
    boxes, limits = table.boxes[known], sizes[known][:, ::-1] + _TOLERANCE
    if len(boxes) < _FEWEST:
        return False
    outside = (boxes[:, :2] + boxes[:, 2:] > limits).any(1)
    fitting = (boxes[:, 2:] >= boxes[:, :2]).all(1) & (boxes[:, 2:] <= limits).all(1)
    if outside.mean() < _SHARE_OUTSIDE or fitting.mean() < _SHARE_FITTING:
        return False
    excess = ((boxes[:, :2] + boxes[:, 2:]) - limits).max(1)
    for row, far in zip(np.flatnonzero(known), excess, strict=True):
        detail = f"bbox {_text(table.boxes[row])} in an image of {_size_text(sizes[row])}"
        findings.add("box_xyxy", table.example(row, detail), badness=far)
    return True


def _check_sides(table: BoxTable, findings: Findings) -> Mask:
    """Which boxes have two positive sides."""
    sides = table.boxes[:, 2:]
    negative = (sides < 0).any(1)
    zero = (sides == 0).any(1) & ~negative
    for kind, rows in (("box_negative", negative), ("box_zero", zero)):
        for row in np.flatnonzero(rows):
            findings.add(kind, table.example(row, f"bbox {_text(table.boxes[row])}"))
    return ~negative & ~zero


def _check_inside(table: BoxTable, rows: Mask, sizes: Values, findings: Findings) -> Mask:
    """Which of ``rows`` have a part inside of their image."""
    low, high = table.boxes[:, :2], table.boxes[:, :2] + table.boxes[:, 2:]
    limits = sizes[:, ::-1]
    wholly = rows & ((high <= 0) | (low >= limits)).any(1)
    excess = np.maximum(-low, high - limits).max(1, initial=-np.inf)
    partly = rows & ~wholly & (excess > _TOLERANCE)
    for kind, found in (("box_outside", wholly), ("box_partly_outside", partly)):
        for row in np.flatnonzero(found):
            hint = ""
            if (table.boxes[row, 2:] > table.boxes[row, :2]).all() and (table.boxes[row, 2:] <= limits[row]).all():
                hint = "; as x0, y0, x1, y1 it would fit"
            reach = f"{excess[row]:.4g} px out of" if kind == "box_partly_outside" else "outside"
            detail = f"bbox {_text(table.boxes[row])} is {reach} an image of {_size_text(sizes[row])}{hint}"
            findings.add(kind, table.example(row, detail), badness=excess[row])
    return rows & ~wholly


def _check_tiny(table: BoxTable, rows: Mask, sizes: Values, network: tuple[int, int], findings: Findings) -> None:
    short = np.where(rows, sizes.min(1, initial=np.inf), 1)
    long = np.where(rows, sizes.max(1, initial=0), 1)
    scale = np.minimum(network[0] / short, network[1] / long)
    side = table.boxes[:, 2:].min(1, initial=np.inf) * scale
    for row in np.flatnonzero(rows & (side < GRID)):
        detail = f"bbox {_text(table.boxes[row])}, its short side is {side[row]:.3g} px at the input size"
        findings.add("box_tiny", table.example(row, detail), badness=-side[row])


def _check_duplicates(table: BoxTable, rows: Mask, findings: Findings) -> None:
    chosen = np.flatnonzero(rows)
    order = chosen[np.lexsort((table.boxes[chosen, 0], table.category[chosen], table.image[chosen]))]
    keys = np.stack([table.image[order], table.category[order]], 1)
    borders = np.flatnonzero((keys[1:] != keys[:-1]).any(1)) + 1
    found = [pair for group in np.split(order, borders) if len(group) > 1 for pair in _repeated(table.boxes, group)]
    for row, other, iou in sorted(found):
        findings.add("box_duplicate", table.example(row, f"IoU {iou:.3f} with annotation {table.ids[other]}"), iou)


def _repeated(boxes: Values, group: NDArray[np.int64]) -> Iterator[tuple[int, int, float]]:
    """Pairs of rows (later, earlier, IoU) in a group of one image and class, sorted by x; each row is later once."""
    low, high = boxes[group, :2], boxes[group, :2] + boxes[group, 2:]
    area = (high - low).prod(1)
    # An IoU above t takes left sides closer than (1 - t) of the width, so only neighbours in x need a look.
    ends = np.searchsorted(low[:, 0], low[:, 0] + (1 - SAME_IOU) * (high - low)[:, 0], side="right")
    for first in range(len(group) - 1):
        others = slice(first + 1, ends[first])
        if others.start >= others.stop:
            continue
        overlap = (np.minimum(high[first], high[others]) - np.maximum(low[first], low[others])).clip(0).prod(1)
        iou = overlap / np.maximum(area[first] + area[others] - overlap, 1e-12)
        best = int(iou.argmax())
        if iou[best] > SAME_IOU:
            pair = sorted((int(group[first]), int(group[first + 1 + best])))
            yield pair[1], pair[0], float(iou[best])


def _text(box: Values) -> str:
    return "[" + ", ".join(f"{value:.6g}" for value in box) + "]"


def _size_text(size: Values) -> str:
    return f"{size[1]:.0f} x {size[0]:.0f} (width x height)"
