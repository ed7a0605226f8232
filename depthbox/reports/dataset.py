"""HTML page of a dataset check: findings with remedies, and images of the worst cases."""

from __future__ import annotations

import os
from pathlib import Path

from ..data.check.check import CheckReport
from ..data.check.findings import Example, Finding
from ..data.check.report import verdict
from ..io.files import atomic_open
from .example_drawing import BLUE, OUTSIDE, RED, YELLOW, draw_example
from .html import escape, make_document, make_image_tag

PAGE = "index.html"

_STYLE = """
.info { color: var(--note); }
.tag { flex: none; font-size: .8rem; font-weight: 700; text-transform: uppercase; }
h2, nav a { display: flex; gap: 10px; align-items: baseline; }
nav ul { list-style: none; padding: 0; } nav li { margin: 3px 0; } nav .tag { width: 5.6em; text-decoration: none; }
nav a { text-decoration: none; } nav a span + span { text-decoration: underline; text-decoration-color: var(--line); }
.key { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 12px 0; padding: 0; list-style: none; }
.key i { display: inline-block; width: 14px; height: 11px; border: 2px solid; margin-right: 6px; }
.classes { columns: 3 300px; column-gap: 28px; margin: 10px 0; padding: 0; list-style: none; font-size: .92rem; }
.classes li { display: grid; grid-template-columns: 9rem 3rem 1fr; gap: 10px; align-items: center;
  break-inside: avoid; }
.number { text-align: right; font-variant-numeric: tabular-nums; } .bar { background: var(--note); height: 10px; }
"""
# Legend of the colors of the drawings.
_KEY = (
    (RED, "this case"),
    (BLUE, "other boxes"),
    (YELLOW, "size in the annotations"),
    (OUTSIDE, "outside the image"),
)
_POINT_KEY = "points: + on an object, o not on its object, x on no object"


def write_page(report: CheckReport, folder: str | os.PathLike[str]) -> Path:
    """Write the page into a folder, created if missing, and return its path."""
    path = Path(folder) / PAGE
    text = make_page(report)
    with atomic_open(path, tidy=True) as file:
        file.write(text.encode("utf-8", "xmlcharrefreplace"))
    return path


def make_page(report: CheckReport) -> str:
    """Return the page as one HTML text with embedded images and without external resources.

    A drawing shows the image on gray, the faulty box or point in red, the other boxes and points in blue, and a wrong
    size of the annotations in yellow. Small boxes and points are enlarged.
    """
    settings, counts = report.settings, report.counts
    kinds = {name: number for name, number in report.kinds.items() if number}
    facts = ", ".join(f"{name}: {number}" for name, number in (*counts.items(), *kinds.items()))
    folders = f"images: {report.image_root}" + (f", depth: {settings.depth}" if settings.depth else "")
    title = f"Check of {report.source.name or report.source.resolve().name}"
    contents = "".join(
        f'<li><a href="#{f.rule.kind}">{_make_tag(f)}<span>{escape(f.rule.title)}: {f.count}</span></a></li>'
        for f in report.findings
    )
    sections = "".join(_make_section(report, finding) for finding in report.findings) + _make_samples(report)
    body = f"""<header>
<h1>{escape(title)}</h1>
<p class="verdict {"error" if report.errors else "info"}">{escape(verdict(report))}</p>
<p class="soft">{escape(facts)}<br>{escape(str(report.source))}<br>{escape(folders)}</p>
</header>
<nav><ul>{contents}</ul></nav>
<main>
{_make_key(bool(report.marks)) if "<img" in sections else ""}{sections}{_make_classes(report)}</main>"""
    return make_document(title, body, _STYLE)


def _make_key(points: bool) -> str:
    items = "".join(f'<li><i style="border-color: rgb{color}"></i>{text}</li>' for color, text in _KEY)
    items += f"<li>{_POINT_KEY}</li>" if points else ""
    return f'<ul class="key soft">{items}</ul>\n'


def _make_section(report: CheckReport, finding: Finding) -> str:
    rule = finding.rule
    cards = "".join(_make_card(report, example) for example in finding.worst)
    fewer = (
        f'<p class="soft">The {len(finding.worst)} worst of {finding.count}:</p>'
        if finding.count > len(finding.worst)
        else ""
    )
    return (
        f'<section id="{rule.kind}">\n'
        f"<h2>{_make_tag(finding)}<span>{escape(rule.title)}: {finding.count}</span></h2>\n"
        f"<p>{escape(rule.remedy)}</p>\n{fewer}"
        f'<div class="grid">{cards}</div>\n</section>\n'
    )


def _make_card(report: CheckReport, example: Example) -> str:
    drawing = draw_example(report, example)
    image = "" if drawing is None else make_image_tag(drawing, example.where or "this case")
    return f"<figure>{image}<figcaption><b>{escape(example.where)}</b>{escape(example.detail)}</figcaption></figure>\n"


def _make_samples(report: CheckReport) -> str:
    """Return a section of images with their points; "" for a dataset without points."""
    if not report.samples:
        return ""
    cards = "".join(_make_card(report, Example(_count_marks(report, name), name)) for name in report.samples)
    heading = "<h2>Images with points</h2>"
    return f'<section id="samples">\n{heading}\n<div class="grid">{cards}</div>\n</section>\n'


def _count_marks(report: CheckReport, name: str) -> str:
    count = len(report.marks.get(name, ()))
    return f"{count} point{'s' * (count != 1)}"


def _make_classes(report: CheckReport) -> str:
    if not report.objects:
        return ""
    largest = max(1, *report.objects.values())
    rows = "".join(
        f'<li><span>{escape(name)}</span><span class="number">{count}</span>'
        f'<span class="bar" style="width: {100 * count / largest:.1f}%"></span></li>\n'
        for name, count in sorted(report.objects.items(), key=lambda item: -item[1])
    )
    heading = "<h2>Objects by class, without crowds</h2>"
    return f'<section id="classes">\n{heading}\n<ul class="classes">{rows}</ul>\n</section>\n'


def _make_tag(finding: Finding) -> str:
    return f'<span class="tag {finding.rule.severity}">{finding.rule.severity}</span>'
