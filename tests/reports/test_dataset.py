"""Page of a dataset check: drawn windows, colors of boxes, depth maps, sections and classes."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthbox.data.check.check import CheckReport, CheckSettings
from depthbox.data.check.findings import Example, Finding
from depthbox.data.check.points.marks import PointMark
from depthbox.data.check.rules import Rule
from depthbox.data.depth_io import write_depth
from depthbox.reports.dataset import draw_example, make_page, write_page

RED, BLUE, YELLOW, OUTSIDE = (230, 30, 50), (110, 190, 255), (255, 210, 0), (128, 128, 128)
INK = (20, 60, 90)
HEIGHT, WIDTH = 60, 80
SCALE = 4.5  # 360 / 80, of a drawing of the whole image
ERROR = Rule("box_broken", "error", "boxes <that> are broken", "Correct & check again.")
HINT = Rule("image_empty", "info", "images without an object")


def make_report(folder: Path, *findings: Finding, objects: dict[str, int] | None = None, **boxes: tuple) -> CheckReport:
    """Return the report of one image ``a.png`` of one color, with the boxes of that image."""
    Image.new("RGB", (WIDTH, HEIGHT), INK).save(folder / "a.png")
    settings = CheckSettings(folder / "boxes.json", images=folder, depth=folder / "depth")
    counts = {"images": 1, "objects": 2}
    return CheckReport(settings, None, counts, objects or {}, findings, {"a.png": boxes.get("boxes", ())})


def make_finding(rule: Rule, *cases: Example, count: int = 0) -> Finding:
    return Finding(rule, count or len(cases), cases, cases)


def draw(report: CheckReport, **values: object) -> np.ndarray:
    """Draw a case of the image as pixels (H, W, 3)."""
    image = draw_example(report, Example("case", "a.png", **values))
    assert image is not None
    return np.asarray(image)


def extent(pixels: np.ndarray, color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return the first and last column and row of a color: left, top, right, bottom."""
    rows, columns = np.nonzero((pixels == color).all(-1))
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_the_faulty_box_is_red_and_the_others_are_blue(tmp_path: Path) -> None:
    pixels = draw(make_report(tmp_path, boxes=((60, 40, 10, 10), (10, 20, 40, 30))), box=(10, 20, 40, 30))
    assert pixels.shape == (270, 360, 3)
    assert extent(pixels, RED) == (10 * SCALE, 20 * SCALE, 50 * SCALE, 50 * SCALE)
    assert extent(pixels, BLUE) == (60 * SCALE, 40 * SCALE, 70 * SCALE, 50 * SCALE)
    assert tuple(pixels[160, 130]) == INK, "boxes are not filled"


def test_points_are_marks_red_for_the_case_and_blue_for_others(tmp_path: Path) -> None:
    report = make_report(tmp_path)
    marks = {"a.png": (PointMark(20.5, 30.5, 1), PointMark(40.5, 10.5, 0), PointMark(60.5, 50.5, -1))}
    report = dataclasses.replace(report, marks=marks)
    pixels = draw(report)
    assert (pixels == BLUE).all(-1).any() and not (pixels == RED).all(-1).any()
    left, top, right, bottom = extent(pixels, BLUE)
    assert abs(left - 20.5 * SCALE) < 9 and abs(right - 60.5 * SCALE) < 9
    assert abs(top - 10.5 * SCALE) < 9 and abs(bottom - 50.5 * SCALE) < 9
    assert tuple(pixels[int(10.5 * SCALE), int(40.5 * SCALE)]) == INK, "a circle is hollow"


def test_the_surroundings_of_a_point_are_enlarged(tmp_path: Path) -> None:
    report = make_report(tmp_path)
    Image.new("RGB", (400, 300), INK).save(tmp_path / "a.png")
    pixels = draw(report, points=((100.0, 150.0),))
    assert pixels.shape == (270, 270, 3), "80 x 80 pixels"
    left, top, right, bottom = extent(pixels, RED)
    assert (left + right) // 2 in (134, 135) and (top + bottom) // 2 in (134, 135)


@pytest.mark.parametrize("point", [(90.0, 30.0), (-5.0, -70.0), (1e6, 3.0)])
def test_a_point_outside_the_image_is_drawn_on_gray(tmp_path: Path, point: tuple[float, float]) -> None:
    pixels = draw(make_report(tmp_path), points=(point,))
    left, top, right, bottom = extent(pixels, RED)
    near = pixels[max(top - 3, 0) : bottom + 4, max(left - 3, 0) : right + 4]
    assert (near == OUTSIDE).all(-1).any() and not (near == INK).all(-1).any()
    assert pixels.shape[0] <= 270 and pixels.shape[1] <= 360


def test_images_with_points_have_a_section_and_a_legend(tmp_path: Path) -> None:
    report = make_report(tmp_path)
    plain = make_page(report)
    assert 'id="samples"' not in plain and "not on its object" not in plain
    marks = {"a.png": (PointMark(20.5, 30.5, 1),)}
    page = make_page(dataclasses.replace(report, marks=marks, samples=("a.png",), kinds={"masks": 0, "points": 1}))
    assert "<h2>Images with points</h2>" in page and page.count("<figure><img") == 1
    assert "<b>a.png</b>1 point<" in page and "o not on its object" in page
    assert "objects: 2, points: 1<br>" in page


def test_without_a_box_the_image_alone_is_drawn(tmp_path: Path) -> None:
    pixels = draw(make_report(tmp_path))
    assert pixels.shape == (270, 360, 3) and (pixels == INK).all()


def test_the_surroundings_of_a_small_box_are_enlarged(tmp_path: Path) -> None:
    report = make_report(tmp_path)
    Image.new("RGB", (400, 300), INK).save(tmp_path / "a.png")
    pixels = draw(report, box=(100, 100, 4, 4))
    assert pixels.shape == (256, 256, 3), "32 x 32 pixels, each 8 pixels wide"
    assert extent(pixels, RED) == (14 * 8, 14 * 8, 18 * 8, 18 * 8)
    corner = draw(report, box=(0, 0, 4, 4))
    assert corner.shape[:2] == (18 * 8, 18 * 8) and extent(corner, RED)[:2] == (0, 0), "cut at the border of the image"


def test_what_lies_beyond_the_image_is_gray(tmp_path: Path) -> None:
    pixels = draw(make_report(tmp_path), box=(80, 0, 80, 60))
    assert pixels.shape == (135, 360, 3)
    assert (pixels[10, 1:170] == INK).all() and (pixels[10, 190:350] == OUTSIDE).all()
    assert extent(pixels, RED) == (180, 0, 359, 134)


@pytest.mark.parametrize("box", [(-1e9, 2, 2e9, 10), (1e30, 1e30, 1, 1), (5, 5, -3, -3), (5, 5, 0, 0)])
def test_extreme_boxes_give_small_drawings(tmp_path: Path, box: tuple[float, float, float, float]) -> None:
    pixels = draw(make_report(tmp_path), box=box)
    assert pixels.shape[0] <= 270 and pixels.shape[1] <= 360 and (pixels == RED).all(-1).any()


def test_the_size_of_the_annotations_is_a_yellow_frame(tmp_path: Path) -> None:
    pixels = draw(make_report(tmp_path), declared_size=(120, 160))
    assert extent(pixels, YELLOW) == (0, 0, 359, 269)
    assert (pixels[10:130, 10:170] == INK).all() and tuple(pixels[200, 250]) == OUTSIDE
    smaller = draw(make_report(tmp_path), declared_size=(30, 40))
    assert extent(smaller, YELLOW) == (0, 0, 180, 135), "half as wide and high as the image"


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_the_depth_map_is_drawn_beside_the_image(tmp_path: Path, suffix: str) -> None:
    write_depth(tmp_path / "depth" / f"a{suffix}", np.tile(np.linspace(0.2, 0.6, WIDTH), (HEIGHT, 1)))
    pixels = draw(make_report(tmp_path), depth=True)
    assert pixels.shape == (270, 2 * 360 + 4, 3)
    assert (pixels[:, :360] == INK).all() and (pixels[:, 360:364] == OUTSIDE).all()
    depth = pixels[135, 364:].astype(int)
    assert (depth[:, 0] == depth[:, 2]).all() and (np.diff(depth[:, 0]) >= 0).all()
    assert depth[0, 0] <= 2 and depth[-1, 0] >= 253, "stretched to the full range"


def test_a_map_with_wrong_values_is_drawn_and_a_broken_one_left_out(tmp_path: Path) -> None:
    (tmp_path / "depth").mkdir()
    wrong = np.full((HEIGHT, WIDTH), np.nan)
    wrong[:, 40:] = 700
    np.save(tmp_path / "depth" / "a.npy", wrong)
    pixels = draw(make_report(tmp_path), depth=True)
    assert tuple(pixels[100, 400]) == (0, 0, 0) and tuple(pixels[100, 700]) == (255, 255, 255)
    (tmp_path / "depth" / "a.npy").write_bytes(b"broken")
    assert draw(make_report(tmp_path), depth=True).shape == (270, 360, 3)


def test_cases_without_a_readable_image_have_no_drawing(tmp_path: Path) -> None:
    report = make_report(tmp_path)
    assert draw_example(report, Example("no file")) is None
    assert draw_example(report, Example("missing", "gone.png")) is None
    (tmp_path / "a.png").write_bytes(b"broken")
    assert draw_example(report, Example("broken", "a.png")) is None
    unknown = CheckReport(CheckSettings(tmp_path), None, {}, {}, (), {})
    assert draw_example(unknown, Example("no folder", "a.png")) is None


def test_each_finding_has_a_section_with_remedy_and_cases(tmp_path: Path) -> None:
    cases = [Example("x < 0", "a.png", 7, (1, 2, 3, 4)), Example("no box", "", "<9>")]
    page = make_page(
        make_report(tmp_path, make_finding(ERROR, *cases, count=11), make_finding(HINT, Example("", "a.png")))
    )
    assert re.findall(r'<section id="(\w+)">', page) == ["box_broken", "image_empty"]
    assert re.findall(r'<a href="#(\w+)">', page) == ["box_broken", "image_empty"]
    assert "<span>boxes &lt;that&gt; are broken: 11</span>" in page and "<p>Correct &amp; check again.</p>" in page
    assert "The 2 worst of 11:" in page and "worst of 1:" not in page
    captions = re.findall("<figcaption><b>(.*?)</b>(.*?)</figcaption>", page)
    assert captions == [("a.png, annotation 7", "x &lt; 0"), ("annotation &lt;9&gt;", "no box"), ("a.png", "")]
    assert page.count('<figure><img src="data:image/jpeg;base64,') == 2
    assert '<p class="verdict error">1 error, 0 warnings, 1 info: correct the errors before training.</p>' in page


def test_the_legend_is_shown_with_drawings_only(tmp_path: Path) -> None:
    drawn = make_page(make_report(tmp_path, make_finding(ERROR, Example("", "a.png"))))
    legend = re.findall(r'<i style="border-color: rgb(\([^)]+\))"></i>([^<]+)', drawn)
    assert [color for color, _ in legend] == [str(color) for color in (RED, BLUE, YELLOW, OUTSIDE)]
    assert legend[0][1] == "this case"
    assert "border-color" not in make_page(make_report(tmp_path, make_finding(ERROR, Example("no file"))))


def test_classes_are_listed_by_their_number_of_objects(tmp_path: Path) -> None:
    page = make_page(make_report(tmp_path, objects={"rare": 0, "<cat>": 30, "dog": 60}))
    items = re.findall(r'<li><span>(.*?)</span><span class="number">(\d+)</span>.*?width: ([\d.]+)%', page)
    assert items == [("dog", "60", "100.0"), ("&lt;cat&gt;", "30", "50.0"), ("rare", "0", "0.0")]
    assert 'id="classes"' not in make_page(make_report(tmp_path))


def test_the_page_names_the_data_and_is_written_into_a_new_folder(tmp_path: Path) -> None:
    path = write_page(make_report(tmp_path), tmp_path / "new" / "look")
    text = path.read_text(encoding="utf-8")
    assert path == tmp_path / "new" / "look" / "index.html" and "<h1>Check of boxes.json</h1>" in text
    assert "images: 1, objects: 2<br>" in text and f"images: {tmp_path}, depth: {tmp_path}/depth" in text
    assert "0 errors, 0 warnings, 0 info: training can start." in text and 'class="verdict info"' in text
