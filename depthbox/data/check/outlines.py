"""Outlines of objects compared with their boxes."""

from __future__ import annotations

from typing import Any

from ...io.annotations.canonical.outlines import box_of_outline
from ...io.annotations.records import AnnotationSet
from .findings import Box, Example, Findings
from .records import BoxTable

LEAST_IOU = 0.5


def check_outlines(annotations: AnnotationSet, table: BoxTable, findings: Findings) -> None:
    """Check that outlines fit their boxes, and that all objects with a box have one if any object has.

    Args:
        annotations: canonical, so that every outline is sound by itself.
        table: its boxes.
        findings: takes the problems.
    """
    objects = annotations.content["annotations"]
    if not any("segmentation" in entry for entry in objects):
        return  # a dataset of boxes
    for index, entry in enumerate(objects):
        if entry["iscrowd"] or "bbox" not in entry:
            continue
        if "segmentation" not in entry:
            findings.add("outline_missing", table.example(index, ""))
            continue
        iou = box_iou(tuple(entry["bbox"]), _outline_box(entry["segmentation"]))
        if iou < LEAST_IOU:
            findings.add("outline_off_box", _describe(table, index, iou), badness=-iou)


def box_iou(first: Box, second: Box) -> float:
    """Return the IoU of two boxes (x, y, width, height)."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    common = max(width, 0.0) * max(height, 0.0)
    return common / max(first[2] * first[3] + second[2] * second[3] - common, 1e-12)


def _outline_box(outline: Any) -> Box:
    x, y, width, height = box_of_outline(outline)
    return x, y, width, height


def _describe(table: BoxTable, index: int, iou: float) -> Example:
    return table.example(index, f"IoU {iou:.2f} of the box and the box around the outline")
