"""The result of a check as text for the terminal, and as json for programs."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path
from typing import Any

from ...io.files import atomic_open
from .check import CheckReport
from .findings import Example, Finding

WIDTH = 79
_SHOWN = 3
_SHOWN_CLASSES = 8


def summary(report: CheckReport) -> str:
    """The result in at most 79 columns."""
    lines = [_headline(report), *_facts(report)]
    for finding in report.findings:
        lines += ["", *_finding(finding)]
    return "\n".join([*lines, "", *_wrap(verdict(report), "")])


def verdict(report: CheckReport) -> str:
    """One sentence: may training start?"""
    notes = len(report.findings) - report.errors - report.warnings
    kinds = f"{_count(report.errors, 'error')}, {_count(report.warnings, 'warning')}, {_count(notes, 'note')}"
    if report.errors:
        return f"{kinds}: correct the errors before training."
    if report.warnings:
        return f"{kinds}: training can start; read the warnings first."
    return f"{kinds}: nothing stands against training."


def report_json(report: CheckReport) -> dict[str, Any]:
    """The result for programs: ``ok``, ``counts``, ``objects`` by class and ``findings``."""
    settings = report.settings
    return {
        "ok": report.errors == 0,
        "verdict": verdict(report),
        "json": str(settings.json_file),
        "images": str(settings.images),
        "depth": None if settings.depth is None else str(settings.depth),
        "input_size": {"min_size": settings.min_size, "max_size": settings.max_size},
        "counts": dict(report.counts),
        "objects": dict(report.objects),
        "findings": [_finding_json(finding) for finding in report.findings],
    }


def write_report(report: CheckReport, path: str | os.PathLike[str]) -> None:
    """Write ``report_json`` to a file, whole or not at all."""
    text = json.dumps(report_json(report), indent=1, allow_nan=False)
    with atomic_open(Path(path)) as file:
        file.write(text.encode() + b"\n")


def printable(text: str) -> str:
    """Text in which control characters and broken Unicode, which a file name may hold, are written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _headline(report: CheckReport) -> str:
    name = printable(str(report.settings.json_file))
    return name if len(name) <= WIDTH else "..." + name[3 - WIDTH :]


def _facts(report: CheckReport) -> list[str]:
    counts = report.counts
    if not counts:
        return []
    read = f"{counts['images read']} of {counts['images']}"
    depth = f", {_count(counts['depth maps'], 'depth map')}" if report.settings.depth else ""
    lines = [
        f"  {_count(counts['images'], 'image')} ({read} read), {_count(counts['annotations'], 'annotation')}, "
        f"{_count(counts['classes'], 'class')}{depth}"
    ]
    ranked = sorted(report.objects.items(), key=lambda item: -item[1])
    if ranked:
        words = [f"{printable(name)} {count}" for name, count in ranked[:_SHOWN_CLASSES]]
        more = f" ... {printable(ranked[-1][0])} {ranked[-1][1]}" if len(ranked) > _SHOWN_CLASSES else ""
        lines += _wrap("objects: " + ", ".join(words) + more, "  ")
    return lines


def _finding(finding: Finding) -> list[str]:
    rule = finding.rule
    lines = _wrap(f"{rule.severity.upper():7} {rule.title}: {finding.count} [{rule.kind}]", "", " " * 8)
    shown = [example for example in finding.first[:_SHOWN] if str(example)]
    for example in shown:
        lines += _wrap(f"- {printable(str(example))}", " " * 8, " " * 10)
    if shown and finding.count > len(shown):
        lines.append(f"{' ' * 8}- and {finding.count - len(shown)} more")
    return lines + _wrap(f"> {rule.remedy}", " " * 8, " " * 10)


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
        "image_id": example.image_id,
        "annotation_id": example.annotation_id,
        "box": None if example.box is None else list(example.box),
        "detail": example.detail,
    }


def _count(number: int, noun: str) -> str:
    plural = "classes" if noun == "class" else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _wrap(text: str, first: str, others: str | None = None) -> list[str]:
    rest = first if others is None else others
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest)
