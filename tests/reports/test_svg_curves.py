"""Curves as SVG: coordinates of points, grid lines, colors, legend and labels."""

import itertools
import re

import pytest

from depthbox.reports.svg_curves import COLORS, MAX_POINTS, STYLE, average_points, draw_curves, round_ticks

LEFT, RIGHT, TOP, BOTTOM = 56.0, 468.0, 10.0, 224.0  # edges of the plot in a drawing of 480 x 270


def lines(svg: str) -> list[list[tuple[float, float]]]:
    """Return the points of each line of a drawing."""
    found = re.findall(r'<polyline [^>]*points="([^"]+)"', svg)
    return [[(float(x), float(y)) for x, y in (point.split(",") for point in line.split())] for line in found]


def test_a_curve_spans_the_plot() -> None:
    ((first, middle, last),) = lines(draw_curves({"a": [(0, 0.0), (50, 0.5), (100, 1.0)]}))
    assert first == (LEFT, BOTTOM) and last == (RIGHT, TOP)
    assert middle == ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2)


def test_the_axis_may_start_and_end_elsewhere() -> None:
    (line,) = lines(draw_curves({"a": [(100, 0.0), (150, 1.0)]}, span=(100, 200)))
    assert [x for x, _ in line] == [LEFT, (LEFT + RIGHT) / 2]
    (whole,) = lines(draw_curves({"a": [(100, 0.0), (150, 1.0)]}))
    assert whole[0][0] == pytest.approx(LEFT + (RIGHT - LEFT) * 100 / 150, abs=0.1), "the axis starts at 0"


def test_marks_make_space_for_their_labels_above_the_plot() -> None:
    svg = draw_curves({"a": [(0, 0.0), (100, 1.0)]}, {"early": 20, "late": 80})
    ((_, (_, top)),) = lines(svg)
    assert top == TOP + 16
    marks = re.findall(r'<text x="([\d.]+)" y="19" text-anchor="(\w+)">(\w+)</text>', svg)
    assert [(anchor, label) for _, anchor, label in marks] == [("start", "early"), ("end", "late")]
    positions = [float(x) for x in re.findall(r'class="mark" x1="([\d.]+)"', svg)]
    assert positions == pytest.approx([LEFT + 0.2 * (RIGHT - LEFT), LEFT + 0.8 * (RIGHT - LEFT)], abs=0.1)
    assert float(marks[0][0]) == positions[0] + 4 and float(marks[1][0]) == positions[1] - 4


@pytest.mark.parametrize(("iteration", "drawn"), [(-1, 0), (0, 1), (1, 1), (100, 1), (101, 0)])
def test_marks_outside_the_axis_are_left_out(iteration: int, drawn: int) -> None:
    svg = draw_curves({"a": [(0, 0.0), (100, 1.0)]}, {"mark": iteration})
    assert svg.count('class="mark"') == drawn and (">mark<" in svg) == bool(drawn)


@pytest.mark.parametrize(("count", "dots"), [(1, 1), (2, 2), (11, 11), (12, 0), (400, 0)])
def test_short_curves_have_dots(count: int, dots: int) -> None:
    svg = draw_curves({"a": [(n, 1.0) for n in range(count)]})
    assert svg.count("<circle") == dots and len(lines(svg)) == (count > 1)


def test_long_curves_have_a_limited_number_of_points() -> None:
    (line,) = lines(draw_curves({"a": [(n, float(n)) for n in range(10 * MAX_POINTS)]}))
    assert len(line) == MAX_POINTS
    assert average_points([(0, 1.0), (1, 3.0), (2, 5.0), (3, 9.0), (4, 2.0)], 2) == [(1, 3.0), (3.5, 5.5)]


def test_the_legend_has_the_name_color_and_last_value_of_each_curve() -> None:
    svg = draw_curves({"segm/AP": [(0, 1.0), (9, 31.256)], "raw/<a>": [(0, 0.5)]})
    items = re.findall(r'<li><i style="background: var\(--c(\d)\)"></i>(.*?) <span class="soft">(.*?)</span></li>', svg)
    assert items == [("0", "masks", "31.3"), ("1", "&lt;a&gt;", "0.5")]
    assert "stroke: var(--c0)" in svg and "fill: var(--c1)" in svg


def test_colors_repeat_after_the_last_and_all_are_defined() -> None:
    svg = draw_curves({f"metric {n}": [(0, 1.0)] for n in range(COLORS + 2)})
    used = [int(n) for n in re.findall(r"background: var\(--c(\d)\)", svg)]
    assert used == [*range(COLORS), 0, 1]
    assert all(STYLE.count(f"--c{n}:") == 2 for n in range(COLORS)), "for light and dark pages"


@pytest.mark.parametrize(
    ("high", "label"), [(0.004, "0.004"), (2.0, "2"), (50.0, "50"), (20_000.0, "20k"), (3e6, "3M"), (2e10, "20G")]
)
def test_values_are_labeled_in_few_characters(high: float, label: str) -> None:
    svg = draw_curves({"a": [(0, 0.0), (10, high)]})
    labels = re.findall(r'text-anchor="end">([^<]+)</text>', svg)
    assert label in labels and all(len(text) <= 6 for text in labels)


def test_negative_values_lie_below_the_line_of_0() -> None:
    svg = draw_curves({"a": [(0, -1.0), (10, 1.0)]})
    ((first, last),) = lines(svg)
    grid = dict(re.findall(r'y="([\d.]+)" text-anchor="end">([-\d.]+)</text>', svg))
    zero = next(float(y) - 5 for y, text in grid.items() if text == "0")
    assert last[1] < zero < first[1] and first[1] == BOTTOM


@pytest.mark.parametrize("low", [-3.0, 0.0, 0.2])
@pytest.mark.parametrize("span", [1e-6, 0.7, 13.0, 99_999.0])
def test_ticks_enclose_the_values_at_equal_distances(low: float, span: float) -> None:
    ticks = round_ticks(low, low + span)
    steps = [b - a for a, b in itertools.pairwise(ticks)]
    assert ticks[0] <= low + 1e-9 and ticks[-1] >= low + span - 1e-9 * max(1, span)
    assert 3 <= len(ticks) <= 9 and max(steps) == pytest.approx(min(steps), rel=1e-3)


def test_the_description_of_a_drawing_is_escaped() -> None:
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in draw_curves({"a": [(0, 1.0)]}, title='a "b" <c>')
