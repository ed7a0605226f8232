"""Curves as inline SVG in the colors of the page, so they are readable in light and dark mode."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..visualization.curves import Points, Series, legend_label
from .html import escape

STYLE = """
:root { --c0: #1f5fa8; --c1: #c2410c; --c2: #15803d; --c3: #9d2fa0; --c4: #0e7490; --c5: #8a6d00; --c6: #be123c; }
@media (prefers-color-scheme: dark) { :root { --c0: #8cbcff; --c1: #fb9a62; --c2: #6fd494; --c3: #e49be6;
  --c4: #63cfe6; --c5: #e3c453; --c6: #ff8fa3; } }
svg.curves { display: block; width: 100%; height: auto; }
svg.curves text { fill: var(--soft); font: 13px system-ui, sans-serif; }
/* The drawing shrinks with the screen; its text must not. */
@media (max-width: 560px) { svg.curves text { font-size: 17px; } }
svg.curves .rule { stroke: var(--line); stroke-width: 1; }
svg.curves .mark { stroke: var(--soft); stroke-dasharray: 2 3; }
svg.curves polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: .85rem; margin: 4px 0 0; padding: 0;
  list-style: none; } .legend i { display: inline-block; width: 16px; height: 3px; margin-right: 5px;
  vertical-align: middle; }
"""
COLORS = 7
MAX_POINTS = 240  # per curve; longer curves are averaged

_WIDTH, _HEIGHT = 480, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 10, 46
_MARK_ROW = 16  # above the plot, for the labels of marks
_DOTS = 12  # curves of fewer points are drawn with dots


@dataclass(frozen=True)
class _PlotArea:
    """Mapping from values to pixels of the drawing.

    Attributes:
        span: first and last iteration.
        values: lowest and highest value.
        top: upper edge of the plot in pixels.
    """

    span: tuple[int, int]
    values: tuple[float, float]
    top: int

    def x(self, iteration: float) -> float:
        first, last = self.span
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (iteration - first) / max(last - first, 1)

    def y(self, value: float) -> float:
        low, high = self.values
        return self.top + (_HEIGHT - self.top - _BOTTOM) * (high - value) / (high - low)


def draw_curves(
    curves: Series, marks: Mapping[str, int] | None = None, span: tuple[int, int] | None = None, title: str = "curves"
) -> str:
    """Draw one panel as HTML: an SVG that fills the width of its container, and a legend.

    Args:
        curves: metric -> points; at least one metric, each with a point.
        marks: label -> iteration of vertical lines. Marks outside the span are left out, as are marks at its start
            if it does not start at 0.
        span: first and last iteration of the axis; None = from 0 to the last point.
        title: description for screen readers.
    """
    averaged = [average_points(points) for points in curves.values()]
    first, last = span or (0, max(x for points in curves.values() for x, _ in points))
    marks = {label: iteration for label, iteration in (marks or {}).items() if (first or -1) < iteration <= last}
    values = [y for points in averaged for _, y in points]
    ticks = round_ticks(min(0.0, min(values)), max(values))
    # The last iteration of a run of 6000 is 5999; its axis is still labeled with 6000.
    iterations = [tick for tick in round_ticks(first, last, 4) if first <= tick <= last + 0.005 * (last - first)]
    area = _PlotArea((first, last), (ticks[0], ticks[-1]), _TOP + (_MARK_ROW if marks else 0))
    parts = [_draw_grid(ticks, iterations, area)]
    parts += [_draw_mark(label, area.x(iteration)) for label, iteration in marks.items()]
    parts += [_draw_line(points, f"var(--c{number % COLORS})", area) for number, points in enumerate(averaged)]
    return (
        f'<svg class="curves" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
        f'<ul class="legend">{_make_legend(curves)}</ul>'
    )


def average_points(points: Points, count: int = MAX_POINTS) -> list[tuple[float, float]]:
    """Reduce a curve to at most ``count`` points, each the mean of equally many neighbors."""
    size = max(1, math.ceil(len(points) / count))
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def round_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about ``count`` round numbers, from at most ``low`` to at least ``high``."""
    span = high - low if high > low else max(abs(high), 1.0)
    rough = span / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil((low + span) / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _draw_line(points: Sequence[tuple[float, float]], color: str, area: _PlotArea) -> str:
    pixels = [(area.x(x), area.y(y)) for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in pixels)
    parts = [f'<polyline style="stroke: {color}" points="{line}"/>'] if len(pixels) > 1 else []
    if len(pixels) < _DOTS:
        parts += [f'<circle style="fill: {color}" r="3" cx="{x:.1f}" cy="{y:.1f}"/>' for x, y in pixels]
    return "".join(parts)


def _draw_mark(label: str, x: float) -> str:
    anchor, shift = ("start", 4) if x < _WIDTH / 2 else ("end", -4)
    return (
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        f'<text x="{x + shift:.1f}" y="{_TOP + 9}" text-anchor="{anchor}">{escape(label)}</text>'
    )


def _make_legend(curves: Series) -> str:
    """Return the color, name and last value of each curve as list items."""
    return "".join(
        f'<li><i style="background: var(--c{number % COLORS})"></i>{escape(legend_label(name))} '
        f'<span class="soft">{points[-1][1]:.3g}</span></li>'
        for number, (name, points) in enumerate(curves.items())
    )


def _draw_grid(values: Sequence[float], iterations: Sequence[float], area: _PlotArea) -> str:
    parts = []
    for value in values:
        y = area.y(value)
        parts.append(
            f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 5:.1f}" text-anchor="end">{_format_tick(value)}</text>'
        )
    for iteration in iterations:
        x = area.x(iteration)
        anchor = "end" if x > _WIDTH - 40 else "middle"
        text = _format_tick(iteration)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 19}" text-anchor="{anchor}">{text}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return "".join(parts) + f'<text x="{middle:g}" y="{_HEIGHT - 6}" text-anchor="middle">iteration</text>'


def _format_tick(value: float) -> str:
    """Format the label of a tick in at most six characters."""
    units = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
    unit, letter = next((unit for unit in units if abs(value) >= unit[0]), (1, ""))
    return f"{value / unit:.4g}{letter}"
