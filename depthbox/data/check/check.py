"""Check of a dataset before training: annotations of any format, images and depth maps."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...io.annotations.canonical import canonicalize
from ...io.annotations.detect import read_raw, splits_of
from ...io.annotations.records import AnnotationError, AnnotationSet
from .boxes import check_boxes
from .files import check_unlisted, find_depth_files
from .findings import Box, Example, Finding, Findings, count_severity, fill_remedies, to_line
from .images import DecodedImages, choose_evenly, read_files
from .notes import MOST, add_notes
from .outlines import check_outlines
from .points.checks import check_points, count_kinds
from .points.marks import PointMark, find_shown
from .records import BoxTable, check_objects, make_table


class CheckError(ValueError):
    """A check that cannot run, because a file or folder does not exist."""


@dataclass(frozen=True)
class CheckSettings:
    """Data to check.

    Attributes:
        data: annotations in any format that ``io.annotations`` reads.
        images: image folder; None = found by the format.
        depth: folder of the depth maps; None = without depth.
        min_size, max_size: short side and longest side in pixels of the network's input.
        max_images: number of images that are decoded with their depth, evenly spread; None = all. Everything else is
            always checked in full.
        workers: number of threads that read.
        progress: show progress bars.
        split: "train", "val" or "test" of a dataset with splits.
    """

    data: Path
    images: Path | None = None
    depth: Path | None = None
    min_size: int = 800
    max_size: int = 1333
    max_images: int | None = None
    workers: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    progress: bool = True
    split: str = "train"


@dataclass(frozen=True)
class CheckReport:
    """Result of a check.

    Attributes:
        settings: the data that were checked.
        annotations: canonical; None = they cannot be read.
        counts: numbers of ``images``, ``annotations``, ``objects`` (used, without crowds), ``classes``,
            ``images read`` and ``depth maps``.
        objects: number of objects by class without crowds, in the order of the classes.
        findings: errors first.
        boxes: file name -> boxes (x, y, width, height), for the images of the worst examples and the samples.
        decoded: images that were decoded.
        kinds: number of objects by their strongest annotation (``masks``, ``boxes``, ``points``), without crowds.
        marks: file name -> points, for the images of the worst examples and the samples.
        samples: file names of some images with points.
    """

    settings: CheckSettings
    annotations: AnnotationSet | None
    counts: Mapping[str, int]
    objects: Mapping[str, int]
    findings: tuple[Finding, ...]
    boxes: Mapping[str, tuple[Box, ...]]
    decoded: DecodedImages = field(default_factory=lambda: DecodedImages(frozenset(), {}))
    kinds: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, tuple[PointMark, ...]] = field(default_factory=dict)
    samples: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        """Number of kinds of errors; 0 = training can start."""
        return count_severity(self.findings, "error")

    @property
    def warnings(self) -> int:
        """Number of kinds of warnings."""
        return count_severity(self.findings, "warning")

    @property
    def source(self) -> Path:
        """The annotation file or folder."""
        return self.settings.data if self.annotations is None else self.annotations.source

    @property
    def image_root(self) -> Path | None:
        """The image folder; None = unknown."""
        return self.settings.images if self.annotations is None else self.annotations.image_root


def check_dataset(settings: CheckSettings, annotations: AnnotationSet | None = None) -> CheckReport:
    """Check annotations, images and, if given, depth maps; nothing is changed.

    Args:
        settings: the data.
        annotations: the annotations of ``settings.data`` if they were read before, canonical with ``check_files`` and
            ``check_sizes``; None = they are read.

    Raises:
        CheckError: a file, a folder or the split does not exist, or a number in the settings is not positive.
    """
    _require(settings)
    findings = Findings()
    if annotations is None:
        try:
            annotations = _read(settings)
        except AnnotationError as error:
            findings.add("annotations_unreadable", Example(to_line(error)))
            return CheckReport(settings, None, {}, {}, findings.list(), {})
    table = make_table(annotations)
    objects = _check_objects(annotations, table, settings, findings)
    check_unlisted(annotations, findings)
    files = _check_files(annotations, table, settings, findings)
    if settings.split != "train":
        findings.change("nothing_to_learn", lambda rule: replace(rule, severity="warning"))
    counts = {
        "images": len(table.images),
        "annotations": len(annotations.original.get("annotations") or ()),
        "objects": int((~table.crowd).sum()),
        "classes": len(objects),
        "images read": files.chosen,
        "depth maps": files.depth,
    }
    images, maps = shlex.quote(str(annotations.image_root)), shlex.quote(str(settings.depth or "depth"))
    found = fill_remedies(findings.list(), images, maps)
    shown = find_shown(annotations, table, found)
    return CheckReport(
        settings,
        annotations,
        counts,
        objects,
        shown.findings,
        shown.boxes,
        files.decoded,
        kinds=count_kinds(annotations),
        marks=shown.marks,
        samples=shown.samples,
    )


def _check_objects(
    annotations: AnnotationSet, table: BoxTable, settings: CheckSettings, findings: Findings
) -> Mapping[str, int]:
    """Check annotations without their images; return the number of objects by class."""
    add_notes(annotations.notes, findings, len(table.images))
    check_boxes(table.with_boxes(), findings, settings.min_size, settings.max_size)
    check_points(annotations, table, findings, settings.min_size, settings.max_size)
    check_outlines(annotations, table, findings)
    return check_objects(table, annotations, findings)


@dataclass(frozen=True)
class _FileCheck:
    """Numbers of images chosen for decoding and of depth maps, and the decoded images."""

    chosen: int
    depth: int
    decoded: DecodedImages


def _check_files(
    annotations: AnnotationSet, table: BoxTable, settings: CheckSettings, findings: Findings
) -> _FileCheck:
    """Check images and depth maps."""
    existing = [image for image in table.images if image.number not in annotations.missing]
    depth = find_depth_files(existing, settings.depth, findings) if settings.depth else {}
    chosen = choose_evenly(existing, settings.max_images)
    decoded = read_files(
        chosen,
        annotations.image_root,
        depth,
        settings.depth,
        findings,
        workers=settings.workers,
        progress=settings.progress,
    )
    if len(decoded.unreadable) > MOST * len(chosen):
        findings.change("image_unreadable", lambda rule: replace(rule, severity="error"))
    return _FileCheck(len(chosen), len(depth), decoded)


def _read(settings: CheckSettings) -> AnnotationSet:
    """Read the annotations of one split.

    Raises:
        AnnotationError: they cannot be read.
        CheckError: the dataset does not have the split.
    """
    raw = read_raw(settings.data, settings.images, settings.split, settings.progress)
    if raw is None:
        names = ", ".join(splits_of(settings.data))
        raise CheckError(f"{settings.data} has no split {settings.split} (found: {names}): correct --split")
    return canonicalize(raw, check_files=True, check_sizes=True)


def _require(settings: CheckSettings) -> None:
    if not settings.data.exists():
        raise CheckError(f"{settings.data} does not exist; correct --data")
    for option, folder in (("--images", settings.images), ("--depth", settings.depth)):
        if folder is not None and not folder.is_dir():
            raise CheckError(f"the folder {folder} does not exist; correct {option}")
    for name in ("min_size", "max_size", "max_images", "workers"):
        number = getattr(settings, name)
        if number is not None and number < 1:
            raise CheckError(f"--{name.replace('_', '-')} is {number}, it must be at least 1")
