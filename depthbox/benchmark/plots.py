"""Plots of the summary: bars of speedup and memory, curves of cost over the number of objects."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..io.files import atomic_open
from .comparison import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = {"cpu": "#5b8e9b", "cuda": "#6aa84f"}
_WHO = {"ours": "#1b3a4b", "baseline": "#c98a3b"}


def save_bars(rows: Sequence[Row], path: Path) -> None:
    """Draw horizontal bars of baseline over ours on a logarithmic axis.

    Args:
        rows: rows that have a speedup.
        path: PNG file.
    """
    figure = _figure(11, 1.6 + 0.42 * max(len(rows), 3))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, key, title in zip(
        panels, ("speedup", "memory_ratio"), ("times faster", "times less memory"), strict=True
    ):
        _bars(axes, rows, key)
        axes.set(xlabel=f"{title} (baseline over ours, logarithmic)", title=title)
    panels[0].set_yticks(range(len(rows)), [_label(row, rows) for row in rows])
    panels[0].invert_yaxis()
    _save(figure, path)


def save_curve(points: Sequence[Row], path: Path) -> None:
    """Draw time and peak memory of the three operations of a step over the number of objects per image.

    Args:
        points: points of one device.
        path: PNG file.
    """
    figure = _figure(11, 4.2)
    panels = figure.subplots(1, 2)
    for axes, key, label in zip(panels, ("s", "peak_mb"), ("seconds", "peak memory, MB"), strict=True):
        for who, color in _WHO.items():
            known = [(p["objects"], p[f"{who}_{key}"]) for p in points if p.get(f"{who}_{key}")]
            if known:
                axes.plot(*zip(*known, strict=True), "o-", color=color, label=who)
        axes.set(xscale="log", yscale="log", xlabel="objects in each of 2 images", ylabel=label)
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    sizes = ", ".join(dict.fromkeys(p["input"] for p in points))
    figure.suptitle(f"Targets, dynamic head and mask losses, forward and backward, {points[0]['device']}, {sizes}")
    _save(figure, path)


def _bars(axes: Axes, rows: Sequence[Row], key: str) -> None:
    for place, row in enumerate(rows):
        value = row.get(key)
        if not value or not math.isfinite(value):
            continue
        axes.barh(place, value - 1, left=1, color=_COLORS.get(row["device"], "gray"), height=0.62)
        side = (7, "left") if value >= 1 else (-7, "right")
        axes.annotate(
            f"{value:.3g}", (value, place), xytext=(side[0], 0), textcoords="offset points", va="center", ha=side[1]
        )
    axes.set_xscale("log")
    values = [row[key] for row in rows if row.get(key) and math.isfinite(row[key])]
    axes.set_xlim(min([0.7, *(0.5 * v for v in values)]), max([2.0, *(2.5 * v for v in values)]))
    axes.axvline(1, color="gray", linewidth=1)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _label(row: Row, rows: Sequence[Row]) -> str:
    """Return op and device, and the number of objects if the op has several rows."""
    several = sum((other["op"], other["device"]) == (row["op"], row["device"]) for other in rows) > 1
    return f"{row['op']}, {row['device']}" + (f", {row['objects']} objects" if several and "objects" in row else "")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with atomic_open(path, tidy=True) as file:
        file.write(buffer.getvalue())
