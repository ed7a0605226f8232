"""HTML page of a dataset check: findings with remedies, and images of the worst cases."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..data.check.check import CheckReport
from ..data.check.findings import Box, Example, Finding
from ..data.check.report import verdict
from ..data.depth_io import DEPTH_SUFFIXES
from ..io.files import atomic_open
from ..io.images import ImageError, read_image
from ..io.untrusted.arrays import read_array, read_png
from .html import escape, make_document, make_image_tag

PAGE = "index.html"

_TILE = (360, 270)  # maximum width and height of a drawing
_MAX_ZOOM = 8.0
_REACH = 3  # maximum number of image widths and heights drawn beyond the image
_RED, _BLUE, _YELLOW, _OUTSIDE = (230, 30, 50), (110, 190, 255), (255, 210, 0), (128, 128, 128)
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
    (_RED, "this case"),
    (_BLUE, "other boxes"),
    (_YELLOW, "size in the annotations"),
    (_OUTSIDE, "outside the image"),
)


def write_page(report: CheckReport, folder: str | os.PathLike[str]) -> Path:
    """Write the page into a folder, created if missing, and return its path."""
    path = Path(folder) / PAGE
    text = make_page(report)
    with atomic_open(path, tidy=True) as file:
        file.write(text.encode("utf-8", "xmlcharrefreplace"))
    return path


def make_page(report: CheckReport) -> str:
    """Return the page as one HTML text with embedded images and without external resources.

    A drawing shows the image on gray, the faulty box in red, the other boxes in blue, and a wrong size of the
    annotations in yellow. Small boxes are enlarged.
    """
    settings, counts = report.settings, report.counts
    facts = ", ".join(f"{name}: {number}" for name, number in counts.items())
    folders = f"images: {report.image_root}" + (f", depth: {settings.depth}" if settings.depth else "")
    title = f"Check of {report.source.name or report.source.resolve().name}"
    contents = "".join(
        f'<li><a href="#{f.rule.kind}">{_make_tag(f)}<span>{escape(f.rule.title)}: {f.count}</span></a></li>'
        for f in report.findings
    )
    sections = "".join(_make_section(report, finding) for finding in report.findings)
    body = f"""<header>
<h1>{escape(title)}</h1>
<p class="verdict {"error" if report.errors else "info"}">{escape(verdict(report))}</p>
<p class="soft">{escape(facts)}<br>{escape(str(report.source))}<br>{escape(folders)}</p>
</header>
<nav><ul>{contents}</ul></nav>
<main>
{_make_key() if "<img" in sections else ""}{sections}{_make_classes(report)}</main>"""
    return make_document(title, body, _STYLE)


def _make_key() -> str:
    items = "".join(f'<li><i style="border-color: rgb{color}"></i>{text}</li>' for color, text in _KEY)
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


def draw_example(report: CheckReport, example: Example) -> Image.Image | None:
    """Draw one case; None if it has no readable image."""
    if not example.file or report.image_root is None:
        return None
    try:
        image = Image.fromarray(read_image(report.image_root / example.file))
    except ImageError:  # the text of the case names the problem
        return None
    size = example.declared_size
    frame = None if size is None else (0.0, 0.0, float(size[1]), float(size[0]))
    boxes = report.boxes.get(example.file, ())
    drawing = _draw_boxes(image, example.box, boxes, frame)
    depth = _read_depth(report.settings.depth, example.file) if example.depth else None
    return drawing if depth is None else _join(drawing, depth)


def _draw_boxes(image: Image.Image, marked: Box | None, boxes: tuple[Box, ...], frame: Box | None) -> Image.Image:
    x0, y0, x1, y1 = _find_window(image.size, marked, frame)
    scale = min(_TILE[0] / (x1 - x0), _TILE[1] / (y1 - y0), _MAX_ZOOM)
    size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    # Only the part of the window that the image covers is resized; the rest stays gray.
    part = (max(0, int(x0)), max(0, int(y0)), min(image.width, int(x1)), min(image.height, int(y1)))
    target = (max(1, round((part[2] - part[0]) * scale)), max(1, round((part[3] - part[1]) * scale)))
    drawing = Image.new("RGB", size, _OUTSIDE)
    drawing.paste(image.resize(target, box=part), (round((part[0] - x0) * scale), round((part[1] - y0) * scale)))
    pen = ImageDraw.Draw(drawing)
    for box, color, width in [(b, _BLUE, 1) for b in boxes] + [(frame, _YELLOW, 2), (marked, _RED, 2)]:
        if box is not None:
            corners = _to_corners(box) - np.array([x0, y0, x0, y0])
            # A faulty box that leaves the drawing keeps a line at its border; other boxes do not.
            margin = 9 if color == _BLUE else 0
            left, top, right, bottom = np.clip(corners * scale, -margin, np.array(size * 2) - 1 + margin).tolist()
            pen.rectangle((left, top, right, bottom), outline=color, width=width)
    return drawing


def _find_window(size: tuple[int, int], marked: Box | None, frame: Box | None) -> tuple[int, int, int, int]:
    """Return the drawn area (x0, y0, x1, y1) in pixels of the image.

    The area covers the image and everything outside it that is marked. For a small marked box it covers only the
    surroundings of the box.
    """
    width, height = size
    window = np.array([0.0, 0.0, width, height])
    for box in (marked, frame):
        if box is not None:
            corners = _to_corners(box)
            window = np.concatenate([np.minimum(window[:2], corners[:2]), np.maximum(window[2:], corners[2:])])
    reach = np.array([width, height])
    if marked is not None and (window == (0, 0, width, height)).all():
        corners = _to_corners(marked)
        half = max(16.0, 2 * float((corners[2:] - corners[:2]).max()))
        if half < max(size) / 4:
            middle = (corners[:2] + corners[2:]) / 2
            window = np.concatenate([np.maximum(middle - half, 0), np.minimum(middle + half, reach)])
    window = np.clip(window, -_REACH * np.tile(reach, 2), (1 + _REACH) * np.tile(reach, 2))
    low, high = np.floor(window[:2]).astype(int).tolist(), np.ceil(window[2:]).astype(int).tolist()
    return low[0], low[1], max(high[0], low[0] + 1), max(high[1], low[1] + 1)


def _to_corners(box: Box) -> np.ndarray:
    """Return the sorted corners x0, y0, x1, y1 of a box x, y, width, height."""
    x, y, width, height = np.clip(np.array(box, dtype=np.float64), -1e7, 1e7).tolist()
    return np.array([min(x, x + width), min(y, y + height), max(x, x + width), max(y, y + height)])


def _read_depth(folder: Path | None, file: str) -> Image.Image | None:
    """Return the depth map of an image as a gray image, also with a wrong type or range; None if it is unreadable."""
    for suffix in DEPTH_SUFFIXES:
        path = Path(folder or "", os.path.splitext(file)[0] + suffix)
        try:
            if path.is_file():
                values = read_array(path) if suffix == ".npy" else read_png(path).values
                values = np.nan_to_num(values.real.astype(np.float64), nan=0, posinf=0, neginf=0)
                if values.ndim != 2 or not values.size:
                    return None
                values -= values.min()
                return Image.fromarray((255 * values / max(values.max(), 1e-9)).astype(np.uint8)).convert("RGB")
        except (OSError, ValueError, TypeError, MemoryError):  # also of a shape that is not that of an image
            return None
    return None


def _join(image: Image.Image, other: Image.Image) -> Image.Image:
    other = other.resize((max(1, round(other.width * image.height / other.height)), image.height))
    both = Image.new("RGB", (image.width + 4 + other.width, image.height), _OUTSIDE)
    both.paste(image, (0, 0))
    both.paste(other, (image.width + 4, 0))
    return both


def _make_tag(finding: Finding) -> str:
    return f'<span class="tag {finding.rule.severity}">{finding.rule.severity}</span>'
