"""Plot of the affinity analysis: share and purity of the pairs that color and depth keep."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...io.files import atomic_open
from .count import Affinity, PairCounts, depth_cutoff
from .report import find_middle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOR, _DEPTH, _BOTH = "#d1495b", "#00798c", "#8d6a9f"
# Offsets of a curve's labels from their points; they differ so that the labels of two curves do not overlap.
_RIGHT_ABOVE: dict[str, Any] = {"xytext": (5, 5)}
_RIGHT_BELOW: dict[str, Any] = {"xytext": (6, -10)}
_LEFT_BELOW: dict[str, Any] = {"xytext": (-6, -4), "ha": "right"}
_CLEAR = 5.5  # smallest distance in percent between two labeled points of a curve


def save_affinity_plot(pairs: PairCounts, path: str | os.PathLike[str], title: str = "") -> None:
    """Draw purity over the share kept, and recall over leak, as a PNG.

    Args:
        pairs: counted pairs.
        path: PNG file, written atomically; missing folders are created.
        title: title above both panels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw(left, pairs, "kept", "purity")
    left.axhline(100 * pairs.affinity().purity, color="gray", linestyle=":", label="all pairs")
    left.set(xlabel="pairs kept, %", ylabel="kept pairs with the same label, %", title="Share kept and purity")
    _draw(right, pairs, "leak", "recall")
    right.plot((0, 100), (0, 100), color="gray", linestyle=":", label="no information")
    right.set(xlabel="pairs across the border kept, %", ylabel="same-label pairs kept, %", title="Leak and recall")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left" if axes is left else "lower right")
    left.set_xlim(-9, 109)
    right.set_xlim(-9, 109)
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with atomic_open(path, tidy=True) as file:
        file.write(buffer.getvalue())


def _draw(axes: Axes, pairs: PairCounts, x: str, y: str) -> None:
    """Draw one panel: the curves of color over τ, of depth over κ, and of both together at the middle τ."""
    settings = pairs.settings
    curve = [pairs.affinity(level) for level in settings.color_levels]
    marks = [(f"τ {level:g}", pairs.affinity(level)) for level in settings.color_thresholds]
    _line(axes, curve, marks, x, y, _COLOR, "color", _RIGHT_BELOW)
    if not pairs.has_depth:
        return
    low, color = find_middle(settings.depth_thresholds), find_middle(settings.color_thresholds)
    for threshold, paint, label in (
        (None, _DEPTH, f"depth (κ at τ_d = {low:g})"),
        (color, _BOTH, f"both, color at τ {color:g}"),
    ):
        curve = [pairs.affinity(threshold, cutoff) for cutoff in settings.depth_cutoffs]
        marks = [(f"κ {s:g}", pairs.affinity(threshold, depth_cutoff(s, low))) for s in settings.depth_scales]
        place = _RIGHT_ABOVE if threshold is None else _LEFT_BELOW
        _line(axes, curve, marks, x, y, paint, label, place)


def _line(
    axes: Axes,
    curve: Sequence[Affinity],
    marks: Sequence[tuple[str, Affinity]],
    x: str,
    y: str,
    paint: str,
    label: str,
    place: dict[str, Any],
) -> None:
    """Draw a curve and its marked points; labels that would overlap the previous label are omitted."""
    axes.plot(*_points(curve, x, y), color=paint, label=label, linewidth=1.5)
    places = list(zip(*_points([values for _, values in marks], x, y), strict=True))
    axes.plot(*zip(*places, strict=True), "o", color=paint, markersize=5)
    last: tuple[float, float] | None = None
    for (text, _), at in zip(marks, places, strict=True):
        if last is not None and math.dist(at, last) < _CLEAR:
            continue
        axes.annotate(text, at, textcoords="offset points", color=paint, fontsize=8, **place)
        last = at


def _points(values: Sequence[Affinity], x: str, y: str) -> tuple[list[float], list[float]]:
    return [100 * getattr(value, x) for value in values], [100 * getattr(value, y) for value in values]
