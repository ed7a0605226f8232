"""Class maps from PNG files, one per image, and their check against the points."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...io.untrusted.arrays import PngFileError, read_png
from ..points import ImagePoints
from .point_seeds import UNKNOWN
from .source import ClassMap, DepthMap, RGBImage, apply_knowledge

_CONTRADICTED = 0.05  # share of the points in another class, from which it is reported


class ClassMapError(ValueError):
    """A class map that cannot be used. The message names the file, the cause and the remedy."""


@dataclass(frozen=True)
class ClassMapFindings:
    """Agreement of a class map with the points of its image.

    Attributes:
        unknown_values: values above the number of classes other than 255, sorted.
        without_point: classes (contiguous from 0) of pixels, of which the image has no point, sorted.
        contradicted: indices of the points whose pixel has another class or is background.
    """

    unknown_values: tuple[int, ...]
    without_point: tuple[int, ...]
    contradicted: tuple[int, ...]


def check_class_map(class_map: ClassMap, points: ImagePoints, num_classes: int) -> ClassMapFindings:
    """Compare a class map with the points of its image.

    Args:
        class_map: (H, W) uint8: 0 background, class + 1, 255 unknown.
        points: points of the image.
        num_classes: number of classes.
    """
    values = [int(value) for value in np.unique(class_map) if value not in (0, UNKNOWN)]
    present = set(points.classes.tolist())
    x, y = points.pixels().T
    inside = (x >= 0) & (x < class_map.shape[1]) & (y >= 0) & (y < class_map.shape[0])
    at_points = np.full(len(points), UNKNOWN, dtype=np.int64)
    at_points[inside] = class_map[y[inside], x[inside]]
    other = (at_points != UNKNOWN) & (at_points != points.classes + 1)
    return ClassMapFindings(
        tuple(value for value in values if value > num_classes),
        tuple(value - 1 for value in values if value <= num_classes and value - 1 not in present),
        tuple(np.flatnonzero(other).tolist()),
    )


def read_class_map(path: str | os.PathLike[str], size: tuple[int, int], num_classes: int) -> ClassMap:
    """Read a class map: a palette or gray PNG file of 8 bits with 0 background, class + 1, 255 unknown.

    Args:
        path: the file.
        size: (height, width) of the image.
        num_classes: number of classes.

    Raises:
        ClassMapError: the file is missing, damaged, of another size or kind, or has values above the number of classes.
    """
    try:
        class_map = read_png(path).values
    except FileNotFoundError as error:
        raise ClassMapError(f"the class map {path} does not exist: correct the folder of class maps") from error
    except PngFileError as error:
        raise ClassMapError(f"the class map {path} cannot be read ({error}): write it again as PNG") from error
    if class_map.ndim != 2 or class_map.dtype != np.uint8:
        raise ClassMapError(
            f"the class map {path} is not a palette or gray PNG of 8 bits: write class + 1 per pixel, and 0 for the "
            "background"
        )
    if class_map.shape != size:
        raise ClassMapError(
            f"the class map {path} has {class_map.shape[1]} x {class_map.shape[0]} pixels (width x height), its image "
            f"{size[1]} x {size[0]}: write it at the size of the image"
        )
    foreign = [int(value) for value in np.unique(class_map) if num_classes < value < UNKNOWN]
    if foreign:
        raise ClassMapError(
            f"the class map {path} has the value {foreign[0]}, but there are {num_classes} classes: use class + 1 in "
            "the order of the categories, 0 for the background and 255 for unknown pixels"
        )
    return class_map


class FileClassMaps:
    """Class maps from the files ``sem_seg_file_name`` of the dataset dicts.

    Args:
        num_classes: number of classes.
        radius: radius of the discs around points that have the class of their object, pixels.
    """

    def __init__(self, num_classes: int, radius: int = 2) -> None:
        self._num_classes, self._radius = num_classes, radius

    def __call__(
        self, record: Mapping[str, Any], image: RGBImage, points: ImagePoints, depth: DepthMap | None
    ) -> ClassMap:
        """Return the class map of an image, without the classes of which it has no point.

        Raises:
            ClassMapError: see ``read_class_map``, or the image has no class map.
        """
        path = record.get("sem_seg_file_name")
        if not path:
            raise ClassMapError(
                f"{record.get('file_name', 'an image')} has no class map: name their folder in DATASETS.COCO_STYLE, or "
                "set MODEL.P2SEG.SEMANTIC.SOURCE auto"
            )
        class_map = read_class_map(path, (image.shape[0], image.shape[1]), self._num_classes)
        findings = check_class_map(class_map, points, self._num_classes)
        for label in findings.without_point:
            class_map = np.where(class_map == label + 1, np.uint8(0), class_map)
        if len(findings.contradicted) > _CONTRADICTED * len(points):
            count = f"{len(findings.contradicted)} of {len(points)}"
            logging.getLogger(__name__).warning("%s: %s points lie on pixels of another class", path, count)
        return apply_knowledge(class_map, points, self._radius)
