"""The picture of an ablation: a bar for the mean of each row, a point for each seed."""

from __future__ import annotations

import io
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...io.files import atomic_open

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR, _FIRST, _POINT = "#9ecbd3", "#c9c9c9", "#1b3a4b"


def save_ablation_plot(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Draw mask AP and box AP of each row as a PNG, whole or not at all.

    Args:
        rows: ``name``, and ``mask_AP`` and ``box_AP``: a value for each seed, None where there is none.
        path: where to; missing folders are made.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 1.8 + 0.45 * max(3, len(rows))), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, key, title in zip(panels, ("mask_AP", "box_AP"), ("mask AP", "box AP"), strict=True):
        _draw(axes, [_known(row[key]) for row in rows])
        axes.set(xlabel=f"{title} (points: seeds, bars: their mean; the axis need not start at 0)", title=title)
    panels[0].set_yticks(range(len(rows)), [row["name"] for row in rows])
    panels[0].invert_yaxis()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with atomic_open(path) as file:
        file.write(buffer.getvalue())


def _draw(axes: Axes, values: Sequence[Sequence[float]]) -> None:
    """Horizontal bars; the axis starts near the smallest value, so that small differences are seen."""
    everything = [value for row in values for value in row]
    if not everything:
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center")
        return
    low, high = min(everything), max(everything)
    margin = max(0.15 * (high - low), 0.01 * high, 0.1)
    start = max(0.0, low - 4 * margin)
    axes.set_xlim(start, high + 3 * margin)
    for place, row in enumerate(values):
        if not row:
            continue
        mean = statistics.fmean(row)
        axes.barh(place, mean - start, left=start, color=_FIRST if place == 0 else _BAR, height=0.62)
        axes.plot(row, [place + 0.12 * ((i % 3) - 1) for i in range(len(row))], "o", color=_POINT, markersize=5)
        axes.annotate(
            f"{mean:.2f}", (max(mean, *row), place), xytext=(7, 0), textcoords="offset points", va="center", fontsize=9
        )
    if values[0]:
        axes.axvline(statistics.fmean(values[0]), color="grey", linestyle=":", linewidth=1)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]
