"""Curves as SVG within a page: they take the page's colours, so they are readable in light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from .curves import Series, label_of
from .page import escape

STYLE = """
:root { --c0: #1f5fa8; --c1: #c2410c; --c2: #15803d; --c3: #9d2fa0; --c4: #0e7490; --c5: #8a6d00; --c6: #be123c; }
@media (prefers-color-scheme: dark) { :root { --c0: #8cbcff; --c1: #fb9a62; --c2: #6fd494; --c3: #e49be6;
  --c4: #63cfe6; --c5: #e3c453; --c6: #ff8fa3; } }
svg.curves { display: block; width: 100%; height: auto; }
svg.curves text { fill: var(--soft); font: 13px system-ui, sans-serif; }
svg.curves .rule { stroke: var(--line); stroke-width: 1; }
svg.curves .mark { stroke: var(--soft); stroke-dasharray: 2 3; }
svg.curves polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: .85rem; margin: 4px 0 0; padding: 0;
  list-style: none; } .legend i { display: inline-block; width: 16px; height: 3px; margin-right: 5px;
  vertical-align: middle; }
"""
COLORS = 7
POINTS = 240  # of a curve; more are averaged

_WIDTH, _HEIGHT = 480, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 12, 10, 26


def draw_curves(curves: Series, marks: Mapping[str, int] | None = None) -> str:
    """One panel as HTML: an SVG that is as wide as its surroundings, and a legend.

    Args:
        curves: at least one, by metric, each with a point.
        marks: iterations to mark by a vertical line, by their label.
    """
    thin = {name: thinned(points) for name, points in curves.items()}
    last = max(x for points in curves.values() for x, _ in points)
    values = [y for points in thin.values() for _, y in points]
    ticks = nice_ticks(min(0.0, min(values)), max(values))
    low, high = ticks[0], max(ticks[-1], max(values))

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / max(last, 1)
        return across, _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - y) / (high - low)

    parts = [_grid(ticks, nice_ticks(0, last, 4), place)]
    for label, iteration in (marks or {}).items():
        x = place(min(iteration, last), low)[0]
        side = ("start", 4) if x < _WIDTH / 2 else ("end", -4)
        parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
            f'<text x="{x + side[1]:.1f}" y="{_TOP + 12}" text-anchor="{side[0]}">{escape(label)}</text>'
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
        f'<svg class="curves" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="curves">{"".join(parts)}</svg>'
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
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for value in columns:
        x = place(value, rows[0])[0]
        label = f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
        if x <= _WIDTH - _RIGHT + 1:
            anchor = "end" if x > _WIDTH - 40 else "middle"
            parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{label}</text>')
    return "".join(parts)
