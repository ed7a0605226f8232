"""HTML pages in a real browser, at desktop and phone width: no cut text, no overlaps, no external requests."""

import copy
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import DESKTOP, PHONE, new_page, open_browser
from PIL import Image

from depthbox.data.check.check import CheckSettings, check_dataset
from depthbox.reports.dataset import write_page
from depthbox.reports.page import CurvePanel, ImageCard, ReportTable, RunReport, write_report_page

ROOT = Path(__file__).parents[2]
LONG = "a_name_without_a_place_to_break_it_" * 4
# Blocks that must not overlap; none contains another.
BLOCKS = "h1, h2, h3, p, figure, svg, .figures div, .scroll, .legend, nav li, pre, dl, .key, .classes li"
DOC_BLOCKS = ".md-content :is(h1, h2, h3, p:not(li p), .md-typeset__scrollwrap, .highlight)"
DOCS = ("index", "my_data", "method", "performance", "app", "config")

_OVERLAPS = """selector => {
  const blocks = [...document.querySelectorAll(selector)].filter(e => e.checkVisibility() && e.offsetParent !== null
    || e.tagName === 'svg').map(e => [e, e.getBoundingClientRect()]).filter(([, r]) => r.width && r.height)
  const found = []
  blocks.forEach(([a, p], i) => blocks.slice(i + 1).forEach(([b, q]) => {
    const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left)
    const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top)
    if (wide > 1 && high > 1 && !a.contains(b) && !b.contains(a))
      found.push([a, b].map(e => e.tagName + ' ' + e.textContent.trim().slice(0, 40)).join(' | '))
  }))
  return [blocks.length, found]
}"""
# Text that leaves its drawing or is less than 11 pixels high on the screen.
_SVG_TEXT = """() => [...document.querySelectorAll('svg.curves text')].filter(e => {
  const r = e.getBoundingClientRect(), all = e.ownerSVGElement.getBoundingClientRect()
  return r.left < all.left - 1 || r.right > all.right + 1 || r.bottom > all.bottom + 2 || r.height < 11
}).map(e => e.textContent)"""


@dataclass
class PageFacts:
    """Measurements and problems of a page."""

    blocks: int
    overlaps: list[str]
    images: list[int]
    small_text: list[str]
    wide: bool
    background: str
    problems: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(params=[DESKTOP, PHONE])
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    with new_page(browser, request.param) as page:
        yield page


def measure_page(page: Any, path: Path, blocks: str = BLOCKS) -> PageFacts:
    """Open a file and measure the page."""
    problems: list[str] = []
    listeners = {
        "console": lambda message: problems.append(message.text) if message.type in ("error", "warning") else None,
        "pageerror": lambda error: problems.append(str(error)),
        "request": lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else problems.append(r.url),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    page.goto(path.as_uri())
    number, overlaps = page.evaluate(_OVERLAPS, blocks)
    facts = PageFacts(
        blocks=number,
        overlaps=overlaps,
        images=page.evaluate("[...document.images].map(image => image.naturalWidth)"),
        small_text=page.evaluate(_SVG_TEXT),
        # Not window.innerWidth: on phones it grows with content that does not fit.
        wide=page.evaluate("document.documentElement.scrollWidth") > page.viewport_size["width"],
        background=page.evaluate("getComputedStyle(document.body).backgroundColor"),
        problems=problems,
    )
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    return facts


def assert_readable(facts: PageFacts) -> None:
    assert not facts.wide, "the page scrolls sideways"
    assert facts.problems == [] and facts.overlaps == [] and facts.small_text == []
    assert all(facts.images)


def make_image(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (90, 120, 3), np.uint8))


def make_report() -> RunReport:
    """Return a report with every part of the page, long words and large numbers."""
    steps = range(19, 24000, 200)
    curves = {name: [(n, 4e4 * math.exp(-n / 4000) + k) for n in steps] for k, name in enumerate(("raw/a", LONG))}
    detail = "quality 0.12, 3 of 4 objects found, other detections: 2"
    cards = [ImageCard(make_image(n), f"{LONG}.png", detail) for n in (0, 1)]
    numbers = ["12.3", "45.6", "78.9", "1.2", "-", "100.0"]
    return RunReport(
        title=f"Training run {LONG}",
        state=f"24000 of 24000 iterations on {LONG}",
        figures=[("AP of masks", "31.2"), (f"best {LONG}/segm/AP, iteration 23999", "32.1"), ("time", "102 h 15 min")],
        facts=[("trained on", LONG), ("Python", "3.12.1 (main, May 9 2026, 07:35:25) [GCC 12.2.0]"), (LONG, "x")],
        warnings=[f"the run is not finished: {LONG}"],
        panels=[
            CurvePanel("mask_losses", "Mask losses", curves, "all fall. " * 12, [f"{LONG} rose from 1 to 2"]),
            CurvePanel("accuracy", "AP", {"segm/AP": [(23999, 31.2)], "late": [(12000, 1e-4), (23999, 2e-4)]}),
        ],
        tables=[ReportTable("AP by size", ["", "all", "IoU 0.5", "IoU 0.75", "small", "medium", "large"],
                      [["masks", *numbers], ["filled boxes", *numbers]], "In percent."),
                ReportTable("AP by class", ["", "masks", "boxes"], [[LONG, "1.0", "2.0"]] * 40)],
        marks={"teacher starts": 12000},
        best=cards, worst=cards, images_note="How they were chosen.",
        command=f"depthbox train --data {LONG}.json --images photos SEED 77",
        config=f"MODEL:\n  WEIGHTS: {LONG}\n", messages=[f"[2026-01-02] WARNING: {LONG}"],
    )  # fmt: skip


def faulty_data(folder: Path) -> CheckSettings:
    """Write images of extreme shapes and boxes with many kinds of faults."""
    sizes = [(80, 60), (60, 80), (400, 20), (20, 400)]
    images = [
        {"id": i + 1, "file_name": f"{LONG if i == 3 else i}.png", "width": w, "height": h}
        for i, (w, h) in enumerate(sizes)
    ]
    (folder / "images").mkdir(parents=True)
    for image in images:
        make_image(image["id"]).resize((image["width"], image["height"])).save(folder / "images" / image["file_name"])
    boxes = [[1, 2, 15, 9], [70, 5, 40, 15], [500, 5, 9, 9], [4, 4, 0, 9], [9, 9, -5, 5], [1, 2, 3], [3, 3, 1, 1]]
    annotations = [
        {"id": 10 * i + k + 1, "image_id": i + 1, "category_id": k % 2 + 1, "bbox": copy.copy(box)}
        for i in range(4)
        for k, box in enumerate(boxes)
    ]
    annotations[0]["image_id"], annotations[1]["category_id"] = 77, 99
    images[1]["width"] = 90
    categories = [{"id": 1, "name": LONG}, {"id": 2, "name": "dog"}, {"id": 5, "name": "cow"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(content))
    return CheckSettings(folder / "boxes.json", folder / "images", progress=False, workers=1)


def test_the_report_is_readable(page: Any, tmp_path: Path) -> None:
    facts = measure_page(page, write_report_page(make_report(), tmp_path / "report.html"))
    assert_readable(facts)
    assert facts.blocks > 30 and len(facts.images) == 4


def test_the_report_with_open_details_is_readable(page: Any, tmp_path: Path) -> None:
    path = write_report_page(make_report(), tmp_path / "report.html")
    path.write_text(path.read_text(encoding="utf-8").replace("<details>", "<details open>"), encoding="utf-8")
    assert_readable(measure_page(page, path))


def test_the_check_page_is_readable(page: Any, tmp_path: Path) -> None:
    checked = check_dataset(faulty_data(tmp_path / "data"))
    assert len(checked.findings) >= 8
    facts = measure_page(page, write_page(checked, tmp_path / "page"))
    assert_readable(facts)
    assert facts.blocks > 40 and len(facts.images) > 10


def test_dark_mode_follows_the_system(browser: Any, tmp_path: Path) -> None:
    path = write_report_page(make_report(), tmp_path / "report.html")
    backgrounds = []
    for dark in (False, True):
        with new_page(browser, PHONE, dark=dark) as page:
            backgrounds.append(measure_page(page, path).background)
    assert backgrounds[0] == "rgb(255, 255, 255)" and sum(map(int, backgrounds[1][4:-1].split(","))) < 120


def test_the_measurements_find_faults(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(
        "<meta name=viewport content='width=device-width'><h1>one</h1><p style='margin-top: -3rem'>two</p>"
        "<p style='width: 900px'>wide</p><img src='gone.png'><script>console.error('x')</script>"
    )
    with new_page(browser, PHONE) as page:
        facts = measure_page(page, tmp_path / "bad.html")
    assert facts.wide and len(facts.overlaps) == 1 and facts.images == [0] and "x" in facts.problems


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="needs mkdocs: pip install depthbox[docs]")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    return folder


def test_the_documentation_is_readable(page: Any, site: Path) -> None:
    for name in DOCS:
        facts = measure_page(page, site / f"{name}.html", DOC_BLOCKS)
        assert_readable(facts)
        assert facts.blocks > 5, name


def test_the_documentation_can_be_searched_from_the_disk(browser: Any, site: Path) -> None:
    with new_page(browser, DESKTOP) as page:
        page.goto((site / "index.html").as_uri())
        page.click(".md-search__input")
        page.keyboard.type("pairwise")
        page.wait_for_selector(".md-search-result__item", timeout=10_000)
        assert "matching" in page.inner_text(".md-search-result__meta")
