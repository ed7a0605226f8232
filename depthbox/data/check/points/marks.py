"""Boxes and points of the images that a report draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ....io.annotations.records import AnnotationSet
from ..findings import Box, Example, Finding
from ..images import choose_evenly
from ..records import BoxTable
from .given import given_points

# Boxes and points of an image that are kept for its drawing.
_MOST = 300
_MOST_POINTS = 5000
_SAMPLES = 6  # images that show points beside those of the examples
_BACKGROUND = -1


@dataclass(frozen=True)
class PointMark:
    """A point to draw.

    Attributes:
        x, y: in pixels of the image.
        label: 1 = on an object, 0 = not on its object, -1 = on no object.
    """

    x: float
    y: float
    label: int


@dataclass(frozen=True)
class ShownObjects:
    """Content of the drawings of a report.

    Attributes:
        findings: the findings; their worst examples have points.
        samples: file names of images with points, evenly spread.
        boxes, marks: file name -> boxes and points, of the images of the worst examples and of the samples.
    """

    findings: tuple[Finding, ...]
    samples: tuple[str, ...]
    boxes: Mapping[str, tuple[Box, ...]]
    marks: Mapping[str, tuple[PointMark, ...]]


def find_shown(annotations: AnnotationSet, table: BoxTable, findings: Sequence[Finding]) -> ShownObjects:
    """Return what the drawings of the worst examples show.

    Args:
        annotations: canonical annotations.
        table: their objects.
        findings: findings of the check. Examples of the readers have no points: those of the user's file are added.
    """
    findings = _with_points(annotations, findings)
    samples = _choose_samples(annotations, table)
    wanted = {example.file for finding in findings for example in finding.worst} | set(samples)
    boxes: dict[str, list[Box]] = {}
    marks: dict[str, list[PointMark]] = {}
    names = {image.number: image.file_name for image in table.images if image.file_name in wanted}
    for image in annotations.content["images"]:
        if image["id"] in names and image.get("background_points"):
            marks[names[image["id"]]] = [PointMark(x, y, _BACKGROUND) for x, y in image["background_points"]]
    places = [place for place, image in enumerate(table.images) if image.number in names]
    for index in np.flatnonzero(np.isin(table.image, places)):
        entry = annotations.content["annotations"][index]
        name = names[entry["image_id"]]
        pairs = zip(entry.get("point_coords", ()), entry.get("point_labels", ()), strict=True)
        marks.setdefault(name, []).extend(PointMark(x, y, label) for (x, y), label in pairs)
        if "bbox" in entry:
            x, y, width, height = entry["bbox"]
            boxes.setdefault(name, []).append((x, y, width, height))
    return ShownObjects(
        tuple(findings),
        samples,
        {name: tuple(found[:_MOST]) for name, found in boxes.items()},
        {name: tuple(found[:_MOST_POINTS]) for name, found in marks.items() if found},
    )


def _choose_samples(annotations: AnnotationSet, table: BoxTable) -> tuple[str, ...]:
    pointed = {entry["image_id"] for entry in annotations.content["annotations"] if "point_coords" in entry}
    images = [image for image in table.images if image.number in pointed - annotations.missing]
    return tuple(image.file_name for image in choose_evenly(images, _SAMPLES))


def _with_points(annotations: AnnotationSet, findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with points for the examples that have neither a box nor points."""
    bare = {e.annotation_id for f in findings for e in f.worst if _is_bare(e)}
    if not bare:
        return list(findings)
    points: dict[Any, tuple[tuple[float, float], ...]] = {}
    for entry in annotations.original.get("annotations") or ():
        identity = entry.get("id") if isinstance(entry, Mapping) else None
        if isinstance(identity, int | float | str) and identity in bare:
            points.setdefault(identity, tuple(given_points(entry)))

    def add(example: Example) -> Example:
        return replace(example, points=points.get(example.annotation_id, ())) if _is_bare(example) else example

    return [replace(finding, worst=tuple(add(example) for example in finding.worst)) for finding in findings]


def _is_bare(example: Example) -> bool:
    return bool(example.file) and example.annotation_id is not None and example.box is None and not example.points
