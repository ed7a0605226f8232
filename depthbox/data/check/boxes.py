"""Statistics of boxes: their format, their size at the network's input, repetitions and crowds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .findings import Example, Findings
from .records import BoxTable
from .rules import CROWDED

GRID = 4  # input pixels per cell of the mask grid
DOT = 1.0  # largest width and height of a box that some tools write for a point
SAME_IOU = 0.95
THIN = 20.0  # ratio of the sides
HUGE = 0.95  # share of both sides of the image

# Fewer boxes do not distinguish xyxy from xywh, nor points from slips.
_FEWEST = 5
_SHARE_OUTSIDE = 0.1
_SHARE_FITTING = 0.95
_SHARE_NORMALIZED = 0.5
_TOLERANCE = 1.0  # pixels that a rounded box may pass the border of the image

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


def check_boxes(table: BoxTable, findings: Findings, min_size: int, max_size: int) -> None:
    """Check the boxes of a dataset.

    Args:
        table: objects that have a box.
        findings: takes the problems.
        min_size, max_size: the network's input in pixels: images are resized to the short side ``min_size``, or less
            if their long side would be more than ``max_size``.
    """
    sizes = table.sizes
    if _check_normalized(table, sizes, findings) or _check_xyxy(table, sizes, findings):
        return  # nearly every box in a wrong format would also be called tiny or more
    objects = ~table.crowd
    _check_shapes(table, objects, sizes, (min_size, max_size), findings)
    _check_duplicates(table, objects, findings)
    _check_crowded(table, objects, findings)


def input_scale(sizes: Values, network: tuple[int, int]) -> Values:
    """Return the factors (N,) by which images are resized to the network's input.

    Args:
        sizes: (N, 2) height and width in pixels.
        network: short side and longest side of the input.
    """
    return np.asarray(np.minimum(network[0] / sizes.min(1, initial=np.inf), network[1] / sizes.max(1, initial=1)))


def fit_as_corners(table: BoxTable) -> Mask:
    """Return (N,) bool: whether the numbers of a box are corners x0, y0, x1, y1 of a box in its image."""
    sizes = table.sizes
    limits = sizes[:, ::-1] + _TOLERANCE
    return np.asarray(((table.boxes[:, 2:] > table.boxes[:, :2]) & (table.boxes[:, 2:] <= limits)).all(1))


def _check_normalized(table: BoxTable, sizes: Values, findings: Findings) -> bool:
    """Return whether boxes hold fractions of the image's sides instead of pixels."""
    boxes = table.boxes
    within = ((boxes >= 0) & (boxes <= 1)).all(1) & (boxes != np.rint(boxes)).any(1)
    fractions = within & (sizes.min(1, initial=np.inf) > GRID)
    if fractions.sum() < max(1, _SHARE_NORMALIZED * len(boxes)):
        return False
    for index in np.flatnonzero(fractions):
        findings.add("box_normalized", table.example(index, f"bbox {_format_box(boxes[index])}"))
    return True


def _check_xyxy(table: BoxTable, sizes: Values, findings: Findings) -> bool:
    """Return whether boxes are corners: as corners they fit into their images, as COCO boxes many do not."""
    boxes, limits = table.boxes, sizes[:, ::-1] + _TOLERANCE
    if len(boxes) < _FEWEST:
        return False
    outside = (boxes[:, :2] + boxes[:, 2:] > limits).any(1)
    fitting = fit_as_corners(table)
    if outside.mean() < _SHARE_OUTSIDE or fitting.mean() < _SHARE_FITTING:
        return False
    findings.drop("box_beyond_border")
    excess = ((boxes[:, :2] + boxes[:, 2:]) - limits).max(1)
    for index, far in enumerate(excess):
        detail = f"bbox {_format_box(boxes[index])} in an image of {_format_size(sizes[index])}"
        findings.add("box_xyxy", table.example(index, detail), badness=far)
    return True


def _check_shapes(table: BoxTable, chosen: Mask, sizes: Values, network: tuple[int, int], findings: Findings) -> None:
    """Find boxes that are points, tiny at the network's input, thin, or as large as the image."""
    sides = table.boxes[:, 2:]
    short = sides.min(1, initial=np.inf) * input_scale(sizes, network)
    ratio = sides.max(1, initial=0) / sides.min(1, initial=np.inf)
    share = (sides / np.maximum(sizes[:, ::-1], 1)).min(1, initial=np.inf)
    dots = chosen & (sides <= DOT).all(1)
    dots &= dots.sum() >= _FEWEST  # a few of them are slips
    for index in np.flatnonzero(dots):
        findings.add("box_dot", table.example(index, f"bbox {_format_box(table.boxes[index])}"))
    for index in np.flatnonzero(chosen & ~dots & (short < GRID)):
        detail = f"bbox {_format_box(table.boxes[index])}, its short side is {short[index]:.3g} px at the input size"
        findings.add("box_tiny", table.example(index, detail), badness=-short[index])
    for index in np.flatnonzero(chosen & (ratio > THIN) & (short >= GRID)):
        detail = f"bbox {_format_box(table.boxes[index])}, its sides are as {ratio[index]:.0f} to 1"
        findings.add("box_thin", table.example(index, detail), badness=ratio[index])
    for index in np.flatnonzero(chosen & (share >= HUGE)):
        detail = f"bbox {_format_box(table.boxes[index])} in an image of {_format_size(sizes[index])}"
        findings.add("box_huge", table.example(index, detail), badness=share[index])


def _check_crowded(table: BoxTable, chosen: Mask, findings: Findings) -> None:
    counts = np.bincount(table.image[chosen], minlength=len(table.images))
    for place in np.flatnonzero(counts > CROWDED):
        detail = f"{counts[place]} objects"
        findings.add("image_crowded", Example(detail, table.images[place].file_name), badness=counts[place])


def _check_duplicates(table: BoxTable, objects: Mask, findings: Findings) -> None:
    chosen = np.flatnonzero(objects)
    order = chosen[np.lexsort((table.boxes[chosen, 0], table.category[chosen], table.image[chosen]))]
    keys = np.stack([table.image[order], table.category[order]], 1)
    borders = np.flatnonzero((keys[1:] != keys[:-1]).any(1)) + 1
    found = [pair for group in np.split(order, borders) if len(group) > 1 for pair in _repeated(table.boxes, group)]
    for index, other, iou in sorted(found):
        findings.add("box_duplicate", table.example(index, f"IoU {iou:.3f} with annotation {table.ids[other]}"), iou)


def _repeated(boxes: Values, group: NDArray[np.int64]) -> Iterator[tuple[int, int, float]]:
    """Yield pairs (later index, earlier index, IoU) in a group of one image and class that is sorted by x."""
    low, high = boxes[group, :2], boxes[group, :2] + boxes[group, 2:]
    area = (high - low).prod(1)
    # An IoU above t needs left sides closer than (1 - t) of the width, so only neighbors in x are compared.
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


def _format_box(box: Values) -> str:
    return "[" + ", ".join(f"{value:.6g}" for value in box) + "]"


def _format_size(size: Values) -> str:
    return f"{size[1]:.0f} x {size[0]:.0f} (width x height)"
