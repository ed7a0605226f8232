"""Result of a check as text for the terminal and as JSON for programs."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...io.annotations.records import Format
from ...io.files import atomic_open
from .check import CheckReport
from .findings import Example, Finding

WIDTH = 79
FORMAT_NAMES: dict[Format, str] = {
    "coco": "COCO JSON",
    "yolo": "YOLO",
    "voc": "Pascal VOC",
    "cvat": "CVAT",
    "labelstudio": "Label Studio",
    "labelme": "LabelMe",
    "openimages": "Open Images",
    "points": "CSV of points",
}
# A command that fits on a line, which stays whole.
_COMMAND = re.compile(rf"`depthbox [^`]{{,{WIDTH - 22}}}`")
_SHOWN = 3
_SHOWN_CLASSES = 8


def summary(report: CheckReport) -> str:
    """Return the result in at most 79 columns."""
    lines = [_format_source(report), *_format_facts(report)]
    for finding in report.findings:
        lines += ["", *_format_finding(finding)]
    return "\n".join([*lines, "", *_wrap(verdict(report), "")])


def verdict(report: CheckReport) -> str:
    """Return one sentence on whether training can start."""
    infos = len(report.findings) - report.errors - report.warnings
    kinds = f"{_count(report.errors, 'error')}, {_count(report.warnings, 'warning')}, {infos} info"
    if report.errors:
        return f"{kinds}: correct the errors before training."
    if report.warnings:
        return f"{kinds}: training can start; read the warnings first."
    return f"{kinds}: training can start."


def report_json(report: CheckReport) -> dict[str, Any]:
    """Return the result for programs: ``ok``, ``counts``, ``objects`` by class and ``findings``."""
    settings = report.settings
    return {
        "ok": report.errors == 0,
        "verdict": verdict(report),
        "data": str(report.source),
        "format": None if report.annotations is None else report.annotations.kind,
        "split": settings.split,
        "images": None if report.image_root is None else str(report.image_root),
        "depth": None if settings.depth is None else str(settings.depth),
        "input_size": {"min_size": settings.min_size, "max_size": settings.max_size},
        "counts": dict(report.counts),
        "objects": dict(report.objects),
        "findings": [_finding_json(finding) for finding in report.findings],
    }


def write_report(reports: Mapping[str, CheckReport], path: str | os.PathLike[str]) -> None:
    """Write the results of splits as a JSON file, complete or not at all.

    Args:
        reports: split -> result; "" = the dataset has no splits, and the file holds ``report_json`` of it. Otherwise
            the file has ``ok`` and ``splits``.
        path: the file.
    """
    parts = {split: report_json(report) for split, report in reports.items()}
    content = parts.get("") or {"ok": all(part["ok"] for part in parts.values()), "splits": parts}
    text = json.dumps(content, indent=1, allow_nan=False)
    with atomic_open(Path(path), tidy=True) as file:
        file.write(text.encode() + b"\n")


def printable(text: str) -> str:
    """Return text with control characters and broken Unicode, which file names may hold, as escape sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shorten_path(path: object, width: int = WIDTH) -> str:
    """Return the end of a path that is longer than a line."""
    name = printable(str(path))
    return name if len(name) <= width else "..." + name[3 - width :]


def _format_source(report: CheckReport) -> str:
    annotations = report.annotations
    kind = "" if annotations is None else f" ({FORMAT_NAMES[annotations.kind]})"
    return shorten_path(report.source, WIDTH - len(kind)) + kind


def _format_facts(report: CheckReport) -> list[str]:
    counts = report.counts
    if not counts:
        return []
    lines = [f"  images in {shorten_path(report.image_root, WIDTH - 12)}"]
    depth = f", {_count(counts['depth maps'], 'depth map')}" if report.settings.depth else ""
    lines += _wrap(
        f"{_count(counts['images'], 'image')} ({counts['images read']} read), {_count(counts['objects'], 'object')}, "
        f"{_count(counts['classes'], 'class')}{depth}",
        "  ",
    )
    ranked = sorted(report.objects.items(), key=lambda item: -item[1])
    if ranked:
        words = [f"{printable(name)} {count}" for name, count in ranked[:_SHOWN_CLASSES]]
        more = f" ... {printable(ranked[-1][0])} {ranked[-1][1]}" if len(ranked) > _SHOWN_CLASSES else ""
        lines += _wrap("objects: " + ", ".join(words) + more, "  ")
    return lines


def _format_finding(finding: Finding) -> list[str]:
    rule = finding.rule
    lines = _wrap(f"{rule.severity.upper():7} {rule.title}: {finding.count} [{rule.kind}]", "", " " * 8)
    shown = [example for example in finding.first[:_SHOWN] if str(example)]
    for example in shown:
        lines += _wrap(f"- {printable(str(example))}", " " * 8, " " * 10)
    more = finding.count - sum(example.count for example in shown)
    if shown and more > 0:
        lines.append(f"{' ' * 8}- and {more} more")
    return lines + (_wrap(f"> {printable(rule.remedy)}", " " * 8, " " * 10) if rule.remedy else [])


def _finding_json(finding: Finding) -> dict[str, Any]:
    rule = finding.rule
    return {
        "kind": rule.kind,
        "severity": rule.severity,
        "title": rule.title,
        "remedy": rule.remedy,
        "count": finding.count,
        "first": [_example_json(example) for example in finding.first],
        "worst": [_example_json(example) for example in finding.worst],
    }


def _example_json(example: Example) -> dict[str, Any]:
    return {
        "file": example.file,
        "annotation_id": example.annotation_id,
        "box": None if example.box is None else list(example.box),
        "detail": example.detail,
    }


def _count(number: int, noun: str) -> str:
    plural = "classes" if noun == "class" else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _wrap(text: str, first: str, others: str | None = None) -> list[str]:
    rest = first if others is None else others
    text = _COMMAND.sub(lambda match: match[0].replace(" ", "\xa0"), text)  # textwrap does not break at \xa0
    lines = textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines]
