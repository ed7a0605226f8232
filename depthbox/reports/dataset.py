"""The result of a data set check as one HTML file: findings in words, with pictures of the worst cases."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from detectron2.data import detection_utils
from PIL import Image, ImageDraw

from ..data.check.check import Box, CheckReport
from ..data.check.findings import Example, Finding
from ..data.check.report import verdict
from ..data.depth_io import DEPTH_SUFFIXES
from ..io.files import atomic_open
from .html import escape, make_document, picture_tag

PAGE = "index.html"

_TILE = (360, 270)  # width and height that a picture fits into
_LARGEST_ZOOM = 8.0
_REACH = 3  # a picture shows at most so many widths and heights beyond the image
_RED, _BLUE, _YELLOW, _BEYOND = (230, 30, 50), (110, 190, 255), (255, 210, 0), (128, 128, 128)
_SIZE_KINDS = ("image_size_differs", "image_turned")
_STYLE = """
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
# What the colours of the pictures mean.
_KEY = (
    (_RED, "the case"),
    (_BLUE, "other boxes"),
    (_YELLOW, "the size that the json says"),
    (_BEYOND, "beyond the image"),
)


def write_page(report: CheckReport, folder: str | os.PathLike[str]) -> Path:
    """Write the page into a folder (made if missing); returns the file."""
    path = Path(folder) / PAGE
    text = make_page(report)
    with atomic_open(path) as file:
        file.write(text.encode("utf-8", "xmlcharrefreplace"))
    return path


def make_page(report: CheckReport) -> str:
    """The page: one HTML text with its pictures in it, which loads nothing from anywhere.

    Pictures show the image in grey surroundings, the faulty box in red, the others in blue, and the size that the
    json says in yellow where it is wrong. Small boxes are enlarged.
    """
    settings, counts = report.settings, report.counts
    facts = ", ".join(f"{name}: {number}" for name, number in counts.items())
    folders = f"images: {settings.images}" + (f", depth: {settings.depth}" if settings.depth else "")
    title = f"Check of {settings.json_file.name}"
    contents = "".join(
        f'<li><a href="#{f.rule.kind}">{_tag(f)}<span>{escape(f.rule.title)}: {f.count}</span></a></li>'
        for f in report.findings
    )
    sections = "".join(_section(report, finding) for finding in report.findings)
    body = f"""<header>
<h1>{escape(title)}</h1>
<p class="verdict {"error" if report.errors else "note"}">{escape(verdict(report))}</p>
<p class="soft">{escape(facts)}<br>{escape(str(settings.json_file))}<br>{escape(folders)}</p>
</header>
<nav><ul>{contents}</ul></nav>
<main>
{_key() if "<img" in sections else ""}{sections}{_classes(report)}</main>"""
    return make_document(title, body, _STYLE)


def _key() -> str:
    items = "".join(f'<li><i style="border-color: rgb{color}"></i>{words}</li>' for color, words in _KEY)
    return f'<ul class="key soft">{items}</ul>\n'


def _section(report: CheckReport, finding: Finding) -> str:
    rule = finding.rule
    cards = "".join(_card(report, rule.kind, example) for example in finding.worst)
    fewer = (
        f'<p class="soft">{len(finding.worst)} of {finding.count}:</p>' if finding.count > len(finding.worst) else ""
    )
    return (
        f'<section id="{rule.kind}">\n'
        f"<h2>{_tag(finding)}<span>{escape(rule.title)}: {finding.count}</span></h2>\n"
        f"<p>{escape(rule.remedy)}</p>\n{fewer}"
        f'<div class="grid">{cards}</div>\n</section>\n'
    )


def _card(report: CheckReport, kind: str, example: Example) -> str:
    picture = draw_example(report, kind, example)
    image = ""
    if picture is not None:
        image = picture_tag(picture, "the case")
    return f"<figure>{image}<figcaption><b>{escape(example.where)}</b>{escape(example.detail)}</figcaption></figure>\n"


def _classes(report: CheckReport) -> str:
    if not report.objects:
        return ""
    largest = max(1, *report.objects.values())
    rows = "".join(
        f'<li><span>{escape(name)}</span><span class="number">{count}</span>'
        f'<span class="bar" style="width: {100 * count / largest:.1f}%"></span></li>\n'
        for name, count in sorted(report.objects.items(), key=lambda item: -item[1])
    )
    heading = "<h2>Objects by class, crowds left out</h2>"
    return f'<section id="classes">\n{heading}\n<ul class="classes">{rows}</ul>\n</section>\n'


def draw_example(report: CheckReport, kind: str, example: Example) -> Image.Image | None:
    """The picture of one case; None where it has no image that can be read."""
    try:
        path = report.settings.images / example.file
        if not (example.file and path.is_file()):
            return None
        image = Image.fromarray(np.ascontiguousarray(detection_utils.read_image(str(path), format="RGB")))
    except Exception:  # decoders of broken files raise nearly anything; the words say what is wrong
        return None
    says = example.detail.partition("the json says ")[2].split(" (")[0].split(" x ") if kind in _SIZE_KINDS else []
    frame = (0.0, 0.0, float(says[0]), float(says[1])) if len(says) == 2 else None
    boxes = () if example.image_id is None else report.boxes.get(example.image_id, ())
    picture = _draw_boxes(image, example.box, boxes, frame)
    depth = _read_depth(report.settings.depth, example.file) if example.depth else None
    return picture if depth is None else _beside(picture, depth)


def _draw_boxes(image: Image.Image, marked: Box | None, boxes: tuple[Box, ...], frame: Box | None) -> Image.Image:
    x0, y0, x1, y1 = _window(image.size, marked, frame)
    scale = min(_TILE[0] / (x1 - x0), _TILE[1] / (y1 - y0), _LARGEST_ZOOM)
    size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    # Only the part of the window that the image covers is resized; the rest stays grey.
    part = (max(0, int(x0)), max(0, int(y0)), min(image.width, int(x1)), min(image.height, int(y1)))
    target = (max(1, round((part[2] - part[0]) * scale)), max(1, round((part[3] - part[1]) * scale)))
    picture = Image.new("RGB", size, _BEYOND)
    picture.paste(image.resize(target, box=part), (round((part[0] - x0) * scale), round((part[1] - y0) * scale)))
    pen = ImageDraw.Draw(picture)
    for box, color, width in [(b, _BLUE, 1) for b in boxes] + [(frame, _YELLOW, 2), (marked, _RED, 2)]:
        if box is not None:
            corners = _corners(box) - np.array([x0, y0, x0, y0])
            # The faulty box leaves a line at the border where it reaches beyond it, others do not.
            margin = 9 if color == _BLUE else 0
            left, top, right, bottom = np.clip(corners * scale, -margin, np.array(size * 2) - 1 + margin).tolist()
            pen.rectangle((left, top, right, bottom), outline=color, width=width)
    return picture


def _window(size: tuple[int, int], marked: Box | None, frame: Box | None) -> tuple[int, int, int, int]:
    """The part of the plane that is shown, x0, y0, x1, y1 in pixels of the image: all of it, and what is outside."""
    width, height = size
    window = np.array([0.0, 0.0, width, height])
    for box in (marked, frame):
        if box is not None:
            corners = _corners(box)
            window = np.concatenate([np.minimum(window[:2], corners[:2]), np.maximum(window[2:], corners[2:])])
    reach = np.array([width, height])
    if marked is not None and (window == (0, 0, width, height)).all():
        corners = _corners(marked)
        half = max(16.0, 2 * float((corners[2:] - corners[:2]).max()))
        if half < max(size) / 4:
            middle = (corners[:2] + corners[2:]) / 2
            window = np.concatenate([np.maximum(middle - half, 0), np.minimum(middle + half, reach)])
    window = np.clip(window, -_REACH * np.tile(reach, 2), (1 + _REACH) * np.tile(reach, 2))
    low, high = np.floor(window[:2]).astype(int).tolist(), np.ceil(window[2:]).astype(int).tolist()
    return low[0], low[1], max(high[0], low[0] + 1), max(high[1], low[1] + 1)


def _corners(box: Box) -> np.ndarray:
    """x0, y0, x1, y1, sorted, of a box x, y, width, height."""
    x, y, width, height = np.clip(np.array(box, dtype=np.float64), -1e7, 1e7).tolist()
    return np.array([min(x, x + width), min(y, y + height), max(x, x + width), max(y, y + height)])


def _read_depth(folder: Path | None, file: str) -> Image.Image | None:
    """The depth file of an image as a grey picture, however odd it is; None where that cannot be."""
    for suffix in DEPTH_SUFFIXES:
        path = Path(folder or "", os.path.splitext(file)[0] + suffix)
        try:
            if path.is_file():
                values = np.load(path, allow_pickle=False) if suffix == ".npy" else np.asarray(Image.open(path))
                values = np.nan_to_num(values.astype(np.float64), nan=0, posinf=0, neginf=0)
                values -= values.min()
                return Image.fromarray((255 * values / max(values.max(), 1e-9)).astype(np.uint8)).convert("RGB")
        except Exception:  # as in draw_example
            return None
    return None


def _beside(picture: Image.Image, other: Image.Image) -> Image.Image:
    other = other.resize((max(1, round(other.width * picture.height / other.height)), picture.height))
    both = Image.new("RGB", (picture.width + 4 + other.width, picture.height), _BEYOND)
    both.paste(picture, (0, 0))
    both.paste(other, (picture.width + 4, 0))
    return both


def _tag(finding: Finding) -> str:
    return f'<span class="tag {finding.rule.severity}">{finding.rule.severity}</span>'
