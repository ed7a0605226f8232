"""The report of a training as one HTML file: how it went, in figures, curves, tables and pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from ..io.files import atomic_open
from ..visualization.curves import Series
from .html import escape, make_document, picture_tag
from .svg_curves import STYLE as CURVE_STYLE
from .svg_curves import draw_curves

_STYLE = """
header { padding-bottom: 4px; } h3 { font-size: 1rem; margin: 20px 0 4px; line-height: 1.35; }
.panel h3 { margin-top: 0; } h3::first-letter { text-transform: uppercase; }
.figures { display: grid; gap: 10px; margin: 16px 0 8px; padding: 0;
  grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); }
.figures div { background: var(--card); border-radius: 8px; padding: 10px 14px; }
.figures b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); font-size: .85rem; }
ul.words { padding-left: 1.2em; margin: 6px 0; } ul.words li { margin: 6px 0; }
.panels { display: grid; gap: 16px; margin-top: 12px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); }
.panel { background: var(--card); border-radius: 8px; padding: 12px; min-width: 0; }
.panel p { font-size: .88rem; } .alarm { border-left: 3px solid var(--warning); padding-left: 8px; }
.scroll { overflow: auto; width: fit-content; max-width: 100%; max-height: 30rem; margin-top: 10px;
  border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem;
  overflow-wrap: normal; }
th, td { padding: 4px 14px; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { position: sticky; top: 0; background: var(--card); font-weight: 600; }
tbody tr + tr td { border-top: 1px solid var(--line); }
dl { display: grid; grid-template-columns: fit-content(42%) 1fr; gap: 2px 16px; margin: 8px 0; font-size: .92rem; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; }
@media (max-width: 560px) { th, td { padding: 4px 5px; } table { font-size: .85rem; }
  th, td:first-child { white-space: normal; } }
pre { overflow: auto; max-height: 34rem; padding: 12px; background: var(--card); border-radius: 6px;
  font: 13px/1.45 ui-monospace, monospace; margin: 8px 0; white-space: pre-wrap; }
summary { cursor: pointer; font-weight: 600; } code { font: .9em ui-monospace, monospace; }
"""


@dataclass(frozen=True)
class CurvePanel:
    """Curves of one topic.

    Attributes:
        title: of the topic.
        curves: metric -> (iteration, value).
        healthy: what they look like when all is well.
        warnings: what is wrong with these, and what to do.
    """

    title: str
    curves: Series
    healthy: str = ""
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; the first column is aligned to the left."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Shown:
    """A picture with its caption."""

    picture: Image.Image
    title: str
    detail: str


@dataclass(frozen=True)
class Report:
    """All that the page shows; what is empty is left out.

    Attributes:
        title: of the run.
        state: in a sentence, how far the run came.
        figures: (label, value), the few that matter.
        facts: (name, value): data, machine, versions.
        warnings: on the run as a whole; those of panels are with them.
        panels, tables: as they are shown.
        marks: iterations that all panels mark.
        best, worst: images of the evaluation.
        images_note: how they were chosen.
        command: that repeats the run.
        config: the whole YAML file.
        messages: warnings and errors in the log.
    """

    title: str
    state: str
    figures: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    panels: Sequence[CurvePanel] = ()
    tables: Sequence[Table] = ()
    marks: Mapping[str, int] = field(default_factory=dict)
    best: Sequence[Shown] = ()
    worst: Sequence[Shown] = ()
    images_note: str = ""
    command: str = ""
    config: str = ""
    messages: Sequence[str] = ()


def write_report_page(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write the page, whole or not at all; missing folders are made."""
    path = Path(path)
    text = make_report_page(report)
    with atomic_open(path) as file:
        file.write(text.encode("utf-8", "xmlcharrefreplace"))
    return path


def make_report_page(report: Report) -> str:
    """The page: one HTML text with its pictures and curves in it, which loads nothing from anywhere."""
    figures = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(label)}</span></div>" for label, value in report.figures
    )
    head = f"""<header>
<h1>{escape(report.title)}</h1>
<p class="soft">{escape(report.state)}</p>
<div class="figures">{figures}</div>
{_verdict(report)}</header>
"""
    parts = [
        _section("Curves", _panels(report)),
        *(_section(table.title, _table(table)) for table in report.tables),
        _section("Images", _images(report)),
        _section("Run", _run(report)),
    ]
    return make_document(report.title, head + "<main>\n" + "".join(parts) + "</main>", _STYLE + CURVE_STYLE)


def _verdict(report: Report) -> str:
    """All warnings, with links to their panels."""
    lines = [f"<li>{escape(words)}</li>" for words in report.warnings]
    for panel in report.panels:
        link = f'<a href="#{_anchor(panel.title)}">{escape(panel.title)}</a>'
        lines += [f"<li>{link}: {escape(words)}</li>" for words in panel.warnings]
    if not lines:
        return '<p class="verdict note">Nothing in the curves looks unhealthy.</p>\n'
    count = f"{len(lines)} thing{'s' if len(lines) > 1 else ''} to look at"
    return f'<p class="verdict warning">{count}</p>\n<ul class="words">{"".join(lines)}</ul>\n'


def _panels(report: Report) -> str:
    if not report.panels:
        return ""
    span = _span(report.panels)
    panels = "".join(_panel(panel, report.marks, span) for panel in report.panels)
    note = "The number beside a name is its last value."
    return f'<p class="soft">{note}</p>\n<div class="panels">{panels}</div>'


def _span(panels: Sequence[CurvePanel]) -> tuple[int, int]:
    """First and last iteration of all panels: from 0, unless the first part of the run was not recorded."""
    steps = sorted({step for panel in panels for points in panel.curves.values() for step, _ in points})
    window = steps[1] - steps[0] if len(steps) > 1 else steps[0]
    return (0 if steps[0] <= 2 * window else steps[0]), steps[-1]


def _panel(panel: CurvePanel, marks: Mapping[str, int], span: tuple[int, int]) -> str:
    warnings = "".join(f'<p class="alarm warning">{escape(words)}</p>' for words in panel.warnings)
    healthy = f'<p class="soft"><b>Healthy:</b> {escape(panel.healthy)}</p>' if panel.healthy else ""
    return (
        f'<div class="panel" id="{_anchor(panel.title)}"><h3>{escape(panel.title)}</h3>'
        f"{draw_curves(panel.curves, marks, span, panel.title)}{warnings}{healthy}</div>\n"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.head)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in table.rows)
    note = f'<p class="soft">{escape(table.note)}</p>' if table.note else ""
    return f'{note}<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'


def _images(report: Report) -> str:
    parts = [f'<p class="soft">{escape(report.images_note)}</p>'] if report.images_note else []
    for name, shown in (("Worst", report.worst), ("Best", report.best)):
        if shown:
            cards = "".join(
                f"<figure>{picture_tag(card.picture, card.title)}"
                f"<figcaption><b>{escape(card.title)}</b>{escape(card.detail)}</figcaption></figure>\n"
                for card in shown
            )
            parts.append(f'<h3>{name}</h3><div class="grid">{cards}</div>')
    return "".join(parts)


def _run(report: Report) -> str:
    parts = []
    if report.command:
        parts.append(f"<h3>The same again</h3><pre>{escape(report.command)}</pre>")
    if report.facts:
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report.facts)
        parts.append(f"<dl>{rows}</dl>")
    if report.messages:
        parts.append(_folded("Warnings in the log", report.messages))
    if report.config:
        parts.append(_folded("Config", report.config.splitlines()))
    return "".join(parts)


def _folded(title: str, lines: Sequence[str]) -> str:
    text = "\n".join(escape(line) for line in lines)
    return f"<details><summary>{escape(title)}</summary><pre>{text}</pre></details>\n"


def _section(title: str, content: str) -> str:
    return f'<section id="{_anchor(title)}">\n<h2>{escape(title)}</h2>\n{content}\n</section>\n' if content else ""


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
