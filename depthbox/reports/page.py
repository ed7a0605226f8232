"""HTML page of a training run: figures, curves, tables and images in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from ..io.files import atomic_open
from ..visualization.curves import Series
from .html import escape, make_document, make_image_tag
from .svg_curves import STYLE as CURVE_STYLE
from .svg_curves import draw_curves

_STYLE = """
header { padding-bottom: 4px; } h3 { font-size: 1rem; margin: 20px 0 4px; line-height: 1.35; }
.panel h3 { margin-top: 0; }
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
        id: identifier of the panel, see ``visualization.curves.PANELS``.
        title: title shown above the curves.
        curves: metric -> (iteration, value).
        healthy: description of healthy curves.
        warnings: problems of these curves, with remedies.
    """

    id: str
    title: str
    curves: Series
    healthy: str = ""
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class ReportTable:
    """Table of text; the first column is aligned to the left."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class ImageCard:
    """Image with its caption."""

    image: Image.Image
    title: str
    detail: str


@dataclass(frozen=True)
class RunReport:
    """Content of the page; empty parts are left out.

    Attributes:
        title: title of the run.
        state: progress of the run in one sentence.
        figures: (label, value) of the most important numbers.
        facts: (name, value): data, machine, versions.
        warnings: problems of the run as a whole; those of a panel are in the panel.
        panels, tables: in the order of display.
        marks: label -> iteration of a vertical line in all panels.
        best, worst: images of the evaluation.
        images_note: explanation of their choice.
        command: command that repeats the run.
        config: text of the YAML file.
        messages: warnings and errors in the log.
    """

    title: str
    state: str
    figures: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    panels: Sequence[CurvePanel] = ()
    tables: Sequence[ReportTable] = ()
    marks: Mapping[str, int] = field(default_factory=dict)
    best: Sequence[ImageCard] = ()
    worst: Sequence[ImageCard] = ()
    images_note: str = ""
    command: str = ""
    config: str = ""
    messages: Sequence[str] = ()


def write_report_page(report: RunReport, path: str | os.PathLike[str]) -> Path:
    """Write the page atomically, with its folders, and return its path."""
    path = Path(path)
    text = make_report_page(report)
    with atomic_open(path, tidy=True) as file:
        file.write(text.encode("utf-8", "xmlcharrefreplace"))
    return path


def make_report_page(report: RunReport) -> str:
    """Return the page as one HTML text with embedded images and curves and without external resources."""
    figures = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(label)}</span></div>" for label, value in report.figures
    )
    head = f"""<header>
<h1>{escape(report.title)}</h1>
<p class="soft">{escape(report.state)}</p>
<div class="figures">{figures}</div>
{_make_verdict(report)}</header>
"""
    tables = [
        _make_section(f"table-{number}", table.title, _make_table(table))
        for number, table in enumerate(report.tables, 1)
    ]
    parts = [
        _make_section("curves", "Curves", _make_panels(report)),
        *tables,
        _make_section("images", "Images", _make_images(report)),
        _make_section("run", "Run", _make_run(report)),
    ]
    return make_document(report.title, head + "<main>\n" + "".join(parts) + "</main>", _STYLE + CURVE_STYLE)


def _make_verdict(report: RunReport) -> str:
    """List all warnings, with links to their panels."""
    lines = [f"<li>{escape(text)}</li>" for text in report.warnings]
    for panel in report.panels:
        link = f'<a href="#{_make_anchor(panel)}">{escape(panel.title)}</a>'
        lines += [f"<li>{link}: {escape(text)}</li>" for text in panel.warnings]
    if not lines:
        return '<p class="verdict note">No problem was found in the curves.</p>\n'
    count = f"{len(lines)} warning{'s' if len(lines) > 1 else ''}"
    return f'<p class="verdict warning">{count}</p>\n<ul class="words">{"".join(lines)}</ul>\n'


def _make_panels(report: RunReport) -> str:
    if not report.panels:
        return ""
    span = _find_span(report.panels)
    panels = "".join(_make_panel(panel, report.marks, span) for panel in report.panels)
    note = "The number next to a name is its last value."
    return f'<p class="soft">{note}</p>\n<div class="panels">{panels}</div>'


def _find_span(panels: Sequence[CurvePanel]) -> tuple[int, int]:
    """Return the first and last iteration of all panels; 0 to the last one unless the start was not recorded."""
    steps = sorted({step for panel in panels for points in panel.curves.values() for step, _ in points})
    window = steps[1] - steps[0] if len(steps) > 1 else steps[0]
    return (0 if steps[0] <= 2 * window else steps[0]), steps[-1]


def _make_panel(panel: CurvePanel, marks: Mapping[str, int], span: tuple[int, int]) -> str:
    warnings = "".join(f'<p class="alarm warning">{escape(text)}</p>' for text in panel.warnings)
    healthy = f'<p class="soft"><b>Healthy:</b> {escape(panel.healthy)}</p>' if panel.healthy else ""
    return (
        f'<div class="panel" id="{_make_anchor(panel)}"><h3>{escape(panel.title)}</h3>'
        f"{draw_curves(panel.curves, marks, span, panel.title)}{warnings}{healthy}</div>\n"
    )


def _make_table(table: ReportTable) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.head)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in table.rows)
    note = f'<p class="soft">{escape(table.note)}</p>' if table.note else ""
    return f'{note}<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'


def _make_images(report: RunReport) -> str:
    parts = [f'<p class="soft">{escape(report.images_note)}</p>'] if report.images_note else []
    for name, cards in (("Worst", report.worst), ("Best", report.best)):
        if cards:
            figures = "".join(
                f"<figure>{make_image_tag(card.image, card.title)}"
                f"<figcaption><b>{escape(card.title)}</b>{escape(card.detail)}</figcaption></figure>\n"
                for card in cards
            )
            parts.append(f'<h3>{name}</h3><div class="grid">{figures}</div>')
    return "".join(parts)


def _make_run(report: RunReport) -> str:
    parts = []
    if report.command:
        parts.append(f"<h3>Command that repeats the run</h3><pre>{escape(report.command)}</pre>")
    if report.facts:
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report.facts)
        parts.append(f"<dl>{rows}</dl>")
    if report.messages:
        parts.append(_make_details("Warnings in the log", report.messages))
    if report.config:
        parts.append(_make_details("Config", report.config.splitlines()))
    return "".join(parts)


def _make_details(title: str, lines: Sequence[str]) -> str:
    text = "\n".join(escape(line) for line in lines)
    return f"<details><summary>{escape(title)}</summary><pre>{text}</pre></details>\n"


def _make_section(anchor: str, title: str, content: str) -> str:
    return f'<section id="{anchor}">\n<h2>{escape(title)}</h2>\n{content}\n</section>\n' if content else ""


def _make_anchor(panel: CurvePanel) -> str:
    return f"panel-{escape(panel.id)}"
