"""Points as the user's file holds them, before points outside the image are left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....io.annotations.records import AnnotationSet
from ..findings import Example
from ..records import ImageRecord

Point = tuple[float, float]
_LARGEST = 1e9  # beyond any image


@dataclass(frozen=True)
class GivenPoints:
    """The P finite points of the annotations of listed images.

    Attributes:
        coords: (P, 2) float64, x and y as written.
        sizes: (P, 2) float64, height and width of the image of each point.
        files: P names of image files.
        ids: P annotation ids; None = an annotation without id.
    """

    coords: NDArray[np.float64]
    sizes: NDArray[np.float64]
    files: list[str]
    ids: list[Any]

    def example(self, index: int | np.integer) -> Example:
        """Return an example that shows one point."""
        x, y = self.coords[index].tolist()
        height, width = self.sizes[index].astype(int).tolist()
        detail = f"point [{x:.6g}, {y:.6g}] in an image of {width} x {height} (width x height)"
        return Example(detail, self.files[index], self.ids[index], points=((x, y),))


def read_given_points(annotations: AnnotationSet, images: Sequence[ImageRecord]) -> GivenPoints:
    """Return the points of a dataset as they were given.

    Args:
        annotations: canonical annotations; an object whose points were read from something else than
            ``point_coords``, such as keypoints, is represented by its canonical points.
        images: all images of the annotations.
    """
    by_id = {image.number: image for image in images}
    numbers = {str(identity): number for number, identity in annotations.ids.images.items()}
    canonical = {annotations.positions[entry["id"]]: entry for entry in annotations.content["annotations"]}
    coords: list[Point] = []
    owners: list[tuple[ImageRecord, Any]] = []
    for position, entry in enumerate(annotations.original.get("annotations") or ()):
        used = canonical.get(position)
        number = used["image_id"] if used is not None else _find_image(entry, numbers)
        if number is None:
            continue
        points = given_points(entry) or ([] if used is None else given_points(used))
        coords += points
        owners += [(by_id[number], entry.get("id"))] * len(points)
    sizes = np.array([image.size for image, _ in owners], dtype=np.float64).reshape(-1, 2)
    values = np.array(coords, dtype=np.float64).reshape(-1, 2)
    return GivenPoints(values, sizes, [image.file_name for image, _ in owners], [identity for _, identity in owners])


def given_points(entry: Any) -> list[Point]:
    """Return the finite pairs of numbers in ``point_coords`` of an annotation of any kind."""
    values = entry.get("point_coords") if isinstance(entry, Mapping) else None
    if not isinstance(values, list):
        return []
    pairs = [values] if len(values) == 2 and all(_is_number(value) for value in values) else values
    return [
        (float(pair[0]), float(pair[1]))
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and all(_is_number(value) for value in pair)
    ]


def _find_image(entry: Any, numbers: Mapping[str, int]) -> int | None:
    return numbers.get(str(entry.get("image_id"))) if isinstance(entry, Mapping) else None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < _LARGEST
