"""Points of objects: their unit and order, their place in box and mask, their distance from other points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ....io.annotations.kinds import object_kind, positive_point
from ....io.annotations.records import AnnotationSet
from ....io.coco_masks import segmentation_to_rle
from ..boxes import GRID, input_scale
from ..findings import Example, Findings
from ..records import BoxTable
from .given import GivenPoints, read_given_points

# Fewer points do not distinguish x, y from y, x.
_FEWEST = 5
_SHARE_OUTSIDE = 0.1
_PERCENT = 100.0
_IMPROBABLE = 1e-3
_TOLERANCE = 1.0  # pixels that a point may pass the border of a rounded box
_WORDS = (("mask", "masks"), ("box", "boxes"), ("point", "points"))
_APART = 1e7  # pixels between groups in a tree of all points, more than any image has

Values = NDArray[np.float64]
Entry = Mapping[str, Any]


@dataclass(frozen=True)
class _FirstPoints:
    """First positive points of N objects.

    Attributes:
        index: (N,) int64, index of the object in the table.
        coords: (N, 2) float64, x and y in pixels.
        group: (N,) int64, number of the image and class of the object.
    """

    index: NDArray[np.int64]
    coords: Values
    group: NDArray[np.int64]


def check_points(annotations: AnnotationSet, table: BoxTable, findings: Findings, min_size: int, max_size: int) -> None:
    """Check the points of a dataset.

    Args:
        annotations: canonical, so that every point is finite, inside its image and has a label.
        table: its objects.
        findings: takes the problems.
        min_size, max_size: the network's input in pixels, as in ``check_boxes``.
    """
    if not _has_points(annotations):
        return
    _check_mixed(annotations, table, findings)
    given = read_given_points(annotations, table.images)
    if findings.count("points_normalized") or _check_swapped(given, findings) or _check_percent(given, findings):
        return  # points in a wrong unit would also be called too near to each other
    _check_boxes_and_masks(annotations, table, findings)
    points = _first_points(annotations, table)
    points = _check_same_pixel(points, table, findings)
    _check_near(points, table, (min_size, max_size), findings)


def count_kinds(annotations: AnnotationSet) -> dict[str, int]:
    """Return the number of objects by their strongest annotation: ``masks``, ``boxes`` and ``points``; no crowds."""
    kinds = [object_kind(entry) for entry in annotations.content["annotations"] if not entry["iscrowd"]]
    return {"masks": kinds.count("mask"), "boxes": kinds.count("box"), "points": kinds.count("point")}


def _has_points(annotations: AnnotationSet) -> bool:
    """Return whether an object has points, or had points that cannot be used."""
    if any("point_coords" in entry for entry in annotations.content["annotations"]):
        return True
    given = annotations.original.get("annotations") or ()
    return any("point_coords" in entry for entry in given if isinstance(entry, dict))


def _check_swapped(given: GivenPoints, findings: Findings) -> bool:
    """Return whether points are y, x: exchanged, all of them lie in their images, as x, y many do not."""
    if len(given.coords) < _FEWEST:
        return False
    limits = given.sizes[:, ::-1]
    outside = (given.coords >= limits).any(1) | (given.coords < 0).any(1)
    exchanged = given.coords[:, ::-1]
    fitting = ((exchanged >= 0) & (exchanged < limits)).all()
    if outside.mean() < _SHARE_OUTSIDE or not fitting:
        return False
    for kind in ("point_outside", "point_not_positive"):
        findings.drop(kind)
    excess = (given.coords - limits).max(1)
    for index in np.flatnonzero(outside):
        findings.add("points_swapped", given.example(index), badness=excess[index])
    return True


def _check_percent(given: GivenPoints, findings: Findings) -> bool:
    """Return whether points are percent of the image's sides: chance would hardly place all of them below 100."""
    if not len(given.coords) or not ((given.coords >= 0) & (given.coords <= _PERCENT)).all():
        return False
    if np.log(np.minimum(1, _PERCENT / given.sizes)).sum() > math.log(_IMPROBABLE):
        return False
    for index in range(len(given.coords)):
        findings.add("points_percent", given.example(index))
    return True


def _check_mixed(annotations: AnnotationSet, table: BoxTable, findings: Findings) -> None:
    """Find images whose objects are annotated by points and by stronger kinds, and state their share."""
    order = ("mask", "box", "point")
    kinds = np.array([order.index(object_kind(entry)) for entry in annotations.content["annotations"]], dtype=np.int64)
    counts = np.zeros((len(table.images), 3), dtype=np.int64)
    np.add.at(counts, (table.image, kinds), ~table.crowd)
    mixed = np.flatnonzero((counts[:, 2] > 0) & (counts[:, :2].sum(1) > 0))
    for place in mixed:
        words = [f"{n} {one if n == 1 else many}" for n, (one, many) in zip(counts[place], _WORDS, strict=True) if n]
        findings.add("image_mixed", Example(", ".join(words), table.images[place].file_name))
    share = len(mixed) / max(1, int((counts.sum(1) > 0).sum()))
    findings.change(
        "image_mixed", lambda rule: replace(rule, title=f"{rule.title} ({100 * share:.0f} % of the images)")
    )


def _check_boxes_and_masks(annotations: AnnotationSet, table: BoxTable, findings: Findings) -> None:
    """Find objects with a point on the object that lies outside their box or mask."""
    for index, entry in enumerate(annotations.content["annotations"]):
        if entry["iscrowd"] or "bbox" not in entry or "point_coords" not in entry:
            continue
        pairs = zip(entry["point_coords"], entry["point_labels"], strict=True)
        coords = np.array([point for point, label in pairs if label == 1], dtype=np.float64).reshape(-1, 2)
        if not len(coords):
            continue
        low = table.boxes[index, :2]
        distance = np.maximum(low - coords, coords - low - table.boxes[index, 2:]).max(1)
        worst = int(distance.argmax())
        if distance[worst] > _TOLERANCE:
            detail = f"point {_format(coords[worst])}, {distance[worst]:.3g} px outside the box"
            findings.add("point_off_box", table.example(index, detail, coords[worst]), badness=distance[worst])
        elif "segmentation" in entry and (off := _count_off(entry, coords, table.image_of(index).size)):
            detail = f"{off} of {len(coords)} points" if len(coords) > 1 else f"point {_format(coords[0])}"
            findings.add("point_off_mask", table.example(index, detail, coords[0]), badness=off)


def _count_off(entry: Entry, coords: Values, size: tuple[int, int]) -> int:
    """Return the number of distinct pixels of points that are not in the mask of their object."""
    height, width = size
    columns, rows = np.floor(coords).astype(np.int64).T
    pixels = np.unique(columns * height + rows)  # run lengths go down the columns
    borders = np.stack([pixels, pixels + 1], 1).ravel()
    counts = np.diff(np.concatenate([[0], borders, [height * width]]))
    marks = mask_util.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    common = mask_util.merge([segmentation_to_rle(entry["segmentation"], size), marks], intersect=True)
    return len(pixels) - int(mask_util.area(common))


def _first_points(annotations: AnnotationSet, table: BoxTable) -> _FirstPoints:
    objects = annotations.content["annotations"]
    found = [
        (index, point)
        for index, entry in enumerate(objects)
        if not entry["iscrowd"] and (point := positive_point(entry)) is not None
    ]
    index = np.array([place for place, _ in found], dtype=np.int64)
    coords = np.array([point for _, point in found], dtype=np.float64).reshape(-1, 2)
    classes = len(annotations.content["categories"])
    return _FirstPoints(index, coords, table.image[index] * classes + table.category[index])


def _check_same_pixel(points: _FirstPoints, table: BoxTable, findings: Findings) -> _FirstPoints:
    """Find points on the pixel of an earlier object of their class; return the other points."""
    keys = np.column_stack([points.group, np.floor(points.coords).astype(np.int64)]).reshape(-1, 3)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    earlier = first[inverse.reshape(-1)]
    for place in np.flatnonzero(earlier != np.arange(len(earlier))):
        other = table.ids[int(points.index[earlier[place]])]
        detail = f"point {_format(points.coords[place])}, as annotation {other}"
        findings.add("point_duplicate", table.example(points.index[place], detail, points.coords[place]))
    kept = np.sort(first)
    return _FirstPoints(points.index[kept], points.coords[kept], points.group[kept])


def _check_near(points: _FirstPoints, table: BoxTable, network: tuple[int, int], findings: Findings) -> None:
    """Find points nearer than a cell of the mask grid to a point of another object of their class."""
    if len(points.index) < 2:
        return
    scale = input_scale(table.sizes[points.index], network)
    scaled = points.coords * scale[:, None]
    tree = cKDTree(np.column_stack([scaled, points.group * _APART]))
    distances, nearest = tree.query(tree.data, k=2, distance_upper_bound=GRID)
    for place in np.flatnonzero(np.isfinite(distances[:, 1])):
        other = int(nearest[place][nearest[place] != place][0])
        far = float(np.hypot(*(scaled[place] - scaled[other])))
        detail = f"{far:.2g} px at the input size from annotation {table.ids[int(points.index[other])]}"
        findings.add("point_near", table.example(points.index[place], detail, points.coords[place]), badness=-far)


def _format(point: Values) -> str:
    return "[" + ", ".join(f"{value:.6g}" for value in point) + "]"
