"""Curves as SVG within a page: they take the page's colours, so they are readable in light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from ..visualization.curves import Series, label_of
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
POINTS = 240  # of a curve; more are averaged

_WIDTH, _HEIGHT = 480, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 10, 46
_MARK_ROW = 16  # above the plot, for the names of marks


def draw_curves(
    curves: Series, marks: Mapping[str, int] | None = None, span: tuple[int, int] | None = None, title: str = "curves"
) -> str:
    """One panel as HTML: an SVG that is as wide as its surroundings, and a legend.

    Args:
        curves: at least one, by metric, each with a point.
        marks: iterations to mark by a vertical line, by their label; those outside the span are left out, and those
            where it begins late.
        span: first and last iteration of the axis; None = from 0 to the last point.
        title: for readers who do not see it.
    """
    thin = {name: thinned(points) for name, points in curves.items()}
    first, last = span or (0, max(x for points in curves.values() for x, _ in points))
    marks = {label: iteration for label, iteration in (marks or {}).items() if (first or -1) < iteration <= last}
    values = [y for points in thin.values() for _, y in points]
    ticks = nice_ticks(min(0.0, min(values)), max(values))
    low, high = ticks[0], max(ticks[-1], max(values))
    top = _TOP + (_MARK_ROW if marks else 0)

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * (x - first) / max(last - first, 1)
        return across, top + (_HEIGHT - top - _BOTTOM) * (high - y) / (high - low)

    parts = [_grid(ticks, [tick for tick in nice_ticks(first, last, 4) if first <= tick <= last], place)]
    for label, iteration in marks.items():
        x = place(iteration, low)[0]
        side, shift = ("start", 4) if x < _WIDTH / 2 else ("end", -4)
        parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
            f'<text x="{x + shift:.1f}" y="{_TOP + 9}" text-anchor="{side}">{escape(label)}</text>'
        )
    for number, points in enumerate(thin.values()):
        color = f"var(--c{number % COLORS})"
        places = [place(x, y) for x, y in points]
        if len(places) > 1:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline style="stroke: {color}" points="{line}"/>')
        if len(places) < 12:
            parts += [f'<circle style="fill: {color}" r="3" cx="{x:.1f}" cy="{y:.1f}"/>' for x, y in places]
    return (
        f'<svg class="curves" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
        f'<ul class="legend">{_legend(curves)}</ul>'
    )


def thinned(points: Sequence[tuple[int, float]], most: int = POINTS) -> list[tuple[float, float]]:
    """At most ``most`` points: means over equally many neighbours."""
    size = max(1, math.ceil(len(points) / most))
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers from at most ``low`` to beyond or near ``high``."""
    span = high - low if high > low else max(abs(high), 1.0)
    rough = span / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor((low + span) / step + 1e-9) + 1)]


def _legend(curves: Series) -> str:
    """Each curve's colour, name and last value."""
    return "".join(
        f'<li><i style="background: var(--c{number % COLORS})"></i>{escape(label_of(name))} '
        f'<span class="soft">{points[-1][1]:.3g}</span></li>'
        for number, (name, points) in enumerate(curves.items())
    )


def _grid(rows: Sequence[float], columns: Sequence[float], place: Callable[[float, float], tuple[float, float]]) -> str:
    parts = []
    for value in rows:
        y = place(0, value)[1]
        parts.append(
            f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 5:.1f}" text-anchor="end">{_short(value)}</text>'
        )
    for value in columns:
        x = place(value, rows[0])[0]
        anchor = "end" if x > _WIDTH - 40 else "middle"
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 19}" text-anchor="{anchor}">{_short(value)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return "".join(parts) + f'<text x="{middle:g}" y="{_HEIGHT - 6}" text-anchor="middle">iteration</text>'


def _short(value: float) -> str:
    """A number at an axis; there is room for six letters."""
    units = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
    unit, letter = next((unit for unit in units if abs(value) >= unit[0]), (1, ""))
    return f"{value / unit:.4g}{letter}"
