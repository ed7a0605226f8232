"""HTML page of a run from made-up content: which parts are shown, links, escaping, tables and images."""

import dataclasses
import re
from pathlib import Path

import pytest
from PIL import Image

from depthbox.reports.page import CurvePanel, ImageCard, ReportTable, RunReport, make_report_page, write_report_page

EVIL, SAFE = "<script>'&'", "&lt;script&gt;&#x27;&amp;&#x27;"
CURVES = {"loss_fcos_cls": [(19, 2.0), (39, 1.0)]}
EMPTY = RunReport("Training run a", "10 iterations")


def make(**changes: object) -> str:
    """Return the page of an otherwise empty report."""
    return make_report_page(dataclasses.replace(EMPTY, **changes))


def sections(page: str) -> dict[str, str]:
    """Return the heading of each section, by its id."""
    return dict(re.findall(r'<section id="([^"]+)">\n<h2>(.*?)</h2>', page))


def test_empty_parts_are_left_out() -> None:
    page = make()
    assert sections(page) == {}
    assert "<h1>Training run a</h1>" in page and '<p class="soft">10 iterations</p>' in page
    assert "<img" not in page and "<svg" not in page and "<table" not in page and "<details" not in page


def test_parts_are_in_the_order_of_reading() -> None:
    card = ImageCard(Image.new("RGB", (8, 6)), "a.png", "quality 0.50")
    page = make(
        panels=[CurvePanel("detector_losses", "Detector losses", CURVES)],
        tables=[ReportTable("AP by size", ["", "all"], [["masks", "30.0"]]), ReportTable("AP by class", [""], [["a"]])],
        worst=[card],
        facts=[("device", "cpu")],
    )
    assert list(sections(page).items()) == [
        ("curves", "Curves"),
        ("table-1", "AP by size"),
        ("table-2", "AP by class"),
        ("images", "Images"),
        ("run", "Run"),
    ]


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"title": EVIL}, 2),  # of the document and of the page
        ({"state": EVIL}, 1),
        ({"figures": [(EVIL, EVIL)]}, 2),
        ({"facts": [(EVIL, EVIL)]}, 2),
        ({"warnings": [EVIL]}, 1),
        ({"tables": [ReportTable(EVIL, [EVIL], [[EVIL]], EVIL)]}, 4),
        ({"images_note": EVIL}, 1),
        ({"best": [ImageCard(Image.new("RGB", (4, 4)), EVIL, EVIL)]}, 3),  # title, caption and alternative text
        ({"command": EVIL}, 1),
        ({"config": f"a: 1\n{EVIL}"}, 1),
        ({"messages": [EVIL]}, 1),
        ({"panels": [CurvePanel("p", EVIL, {EVIL: [(0, 1.0)]}, EVIL, [EVIL])]}, 7),
        ({"panels": [CurvePanel("p", "P", CURVES)], "marks": {EVIL: 20}}, 1),
    ],
)
def test_every_text_is_escaped(changes: dict[str, object], count: int) -> None:
    page = make(**changes)
    assert "<script" not in page and page.count(SAFE) == count


def test_without_warnings_the_verdict_is_good() -> None:
    page = make(panels=[CurvePanel("p", "P", CURVES, "falls")])
    assert (
        '<p class="verdict note">No problem was found in the curves.</p>' in page
        and "alarm" not in page.split("<body>")[1]
    )
    assert "<b>Healthy:</b> falls" in page


def test_warnings_are_counted_and_those_of_panels_link_to_them() -> None:
    one = make(warnings=["not finished"])
    assert '<p class="verdict warning">1 warning</p>' in one and "<li>not finished</li>" in one
    panels = [CurvePanel("mask_fill", "Mask fill", CURVES, "", ["too full", "too flat"]), CurvePanel("p", "P", CURVES)]
    page = make(warnings=["not finished"], panels=panels)
    assert '<p class="verdict warning">3 warnings</p>' in page
    assert re.findall(r"<li>(.*?)</li>", page.split("</header>")[0]) == [
        "not finished",
        '<a href="#panel-mask_fill">Mask fill</a>: too full',
        '<a href="#panel-mask_fill">Mask fill</a>: too flat',
    ]
    assert page.count('id="panel-mask_fill"') == 1 and page.count('class="alarm warning"') == 2


def test_tables_have_one_cell_for_each_value() -> None:
    table = ReportTable("AP", ["", "all", "small"], [["masks", "30.0", "-"], ["boxes", "40.0", "1.5"]], "In percent.")
    page = make(tables=[table])
    body = page.split("<tbody>")[1].split("</tbody>")[0]
    rows = [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", body)]
    assert rows == [["masks", "30.0", "-"], ["boxes", "40.0", "1.5"]]
    assert re.findall("<th>(.*?)</th>", page) == ["", "all", "small"]
    assert '<p class="soft">In percent.</p>' in page


def test_worst_images_come_before_the_best() -> None:
    cards = [ImageCard(Image.new("RGB", (8, 6)), f"{name}.png", f"quality of {name}") for name in "abc"]
    page = make(best=cards[:1], worst=cards[1:], images_note="a choice")
    assert re.findall("<h3>(.*?)</h3>", page) == ["Worst", "Best"]
    captions = re.findall("<figcaption><b>(.*?)</b>(.*?)</figcaption>", page)
    assert captions == [("b.png", "quality of b"), ("c.png", "quality of c"), ("a.png", "quality of a")]
    assert page.count('<img src="data:image/jpeg;base64,') == 3 and "a choice" in page


def test_the_lines_of_the_config_and_of_the_log_are_kept() -> None:
    page = make(config="A: 1\n  B: 2\n", messages=["first", "second"])
    blocks = re.findall(r"<summary>(.*?)</summary><pre>(.*?)</pre>", page, re.DOTALL)
    assert blocks == [("Warnings in the log", "first\nsecond"), ("Config", "A: 1\n  B: 2")]


def test_all_panels_have_the_same_axis() -> None:
    short, long = {"time": [(19, 1.0), (39, 1.0)]}, {"segm/AP": [(399, 20.0)]}
    page = make(panels=[CurvePanel("a", "A", short), CurvePanel("b", "B", long)])
    first, second = (re.findall(r">(\d+)</text>", part) for part in page.split("<svg")[1:])
    assert "400" in first and "400" in second, "the short curves end in the first part of the axis"


def test_the_page_is_written_with_its_folders(tmp_path: Path) -> None:
    path = write_report_page(dataclasses.replace(EMPTY, state="café \udcff"), tmp_path / "new" / "page.html")
    assert path == tmp_path / "new" / "page.html"
    text = path.read_bytes().decode("utf-8")
    assert "café" in text and "\\udcff" in text
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]
