"""Repaired copies of annotations: COCO JSON files without the faults that a check found."""

from __future__ import annotations

import dataclasses
import shlex
import textwrap
from pathlib import Path

from ...io.annotations.canonical import repaired_coco, write_coco
from ...io.annotations.records import AnnotationSet, Note
from .boxes import fit_as_corners
from .check import CheckReport
from .records import make_table
from .report import WIDTH, printable

# Errors of depth maps, which do not concern the annotations.
_DEPTH = "depth_"
# Errors whose annotations are left out of the copy.
_LEFT_OUT = ("box_missing",)


def write_fixed(report: CheckReport, path: Path) -> list[str]:
    """Write the repaired annotations of a checked dataset as COCO JSON, if all errors can be repaired without doubt.

    Args:
        report: result of the check.
        path: the file.

    Returns:
        Lines of at most 79 columns, apart from paths: the repairs, or the reason that nothing was written.

    Raises:
        ValueError: the file is the annotation file that was read.
    """
    if path.resolve() == report.source.resolve():
        raise ValueError(f"--fix {path} would overwrite the annotations: give it another name")
    if report.annotations is None:
        return _wrap("not fixed: the annotations cannot be read")
    corners = _are_corners(report, report.annotations)
    blocking = [
        finding.rule.kind
        for finding in report.findings
        if finding.rule.severity == "error"
        and not finding.rule.kind.startswith(_DEPTH)
        and not (corners and finding.rule.kind == "box_xyxy")
        and finding.rule.kind not in _LEFT_OUT
    ]
    if blocking:
        return _wrap(f"not fixed: no sure repair of {', '.join(blocking)}; nothing was written")
    fixed = _without_lost(report, report.annotations)
    if corners:
        fixed = _from_corners(fixed)
    write_coco(repaired_coco(fixed), path)
    content = fixed.content
    lines = [f"fixed    {path}: {len(content['images'])} images, {len(content['annotations'])} annotations"]
    lines += _describe(report, report.annotations, corners)
    folder = shlex.quote(str(report.image_root))
    return [*lines, f"next     depthbox train --data {shlex.quote(str(path))} --images {folder}"]


def _are_corners(report: CheckReport, annotations: AnnotationSet) -> bool:
    """Return whether the boxes were recognized as corners, and all of them fit as such."""
    if not any(finding.rule.kind == "box_xyxy" for finding in report.findings):
        return False
    return bool(fit_as_corners(make_table(annotations).with_boxes()).all())


def _from_corners(annotations: AnnotationSet) -> AnnotationSet:
    """Convert boxes [x0, y0, x1, y1] to [x, y, width, height]."""
    objects = []
    for entry in annotations.content["annotations"]:
        if "bbox" not in entry:
            objects.append(entry)
            continue
        x0, y0, x1, y1 = entry["bbox"]
        box = [x0, y0, x1 - x0, y1 - y0]
        area = entry["area"] if "segmentation" in entry else box[2] * box[3]
        objects.append({**entry, "bbox": box, "area": area})
    return dataclasses.replace(annotations, content={**annotations.content, "annotations": objects})


def _without_lost(report: CheckReport, annotations: AnnotationSet) -> AnnotationSet:
    """Leave out images that do not exist or cannot be decoded."""
    lost = annotations.missing | report.decoded.unreadable
    return dataclasses.replace(annotations, missing=lost).without_missing()


def _describe(report: CheckReport, annotations: AnnotationSet, corners: bool) -> list[str]:
    notes = list(annotations.notes)
    unreadable = len(report.decoded.unreadable)
    if unreadable:
        notes.append(Note("left out", "image_unreadable", unreadable, "images that cannot be read"))
    if corners:
        count = sum("bbox" in entry for entry in annotations.content["annotations"])
        notes.append(Note("repaired", "box_xyxy", count, "boxes converted from [x0, y0, x1, y1]"))
    kinds = ("repaired", "left out")
    chosen = sorted((note for note in notes if note.kind in kinds), key=lambda note: kinds.index(note.kind))
    lines = [line for note in chosen for line in _wrap(f"{note.kind}: {note.count} {note.text}", " " * 9, " " * 11)]
    return lines or ["         nothing had to be repaired"]


def _wrap(text: str, first: str = "", rest: str = "         ") -> list[str]:
    return textwrap.wrap(printable(text), WIDTH, initial_indent=first, subsequent_indent=rest)
