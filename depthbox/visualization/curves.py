"""Curves of a training from its metrics.json: losses, signs of health, the teacher's labels, AP."""

from __future__ import annotations

import fnmatch
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..io.files import atomic_open

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Series = Mapping[str, Sequence[tuple[int, float]]]

_LABELS = {"bbox/AP": "boxes", "segm/AP": "masks", "boxfill/AP": "filled boxes as masks"}
# Title of a panel -> metrics in it; the names are those of metrics.json, "*" stands for any beginning or end.
PANELS: dict[str, tuple[str, ...]] = {
    "losses of the detector": ("loss_fcos_*",),
    "losses of the masks, before their warm-up": ("raw/*",),
    "share of its box that a mask fills": ("health/mask_fill",),
    "positions an image that stand for objects, and those with a mask": ("health/*_per_image",),
    "labels of the teacher (shares of boxes, mean score)": ("distill/matched", "distill/reliable", "distill/score"),
    "AP": (*_LABELS, "teacher_segm/AP", "*/bbox/AP", "*/segm/AP", "*/boxfill/AP"),
    "seconds of a step": ("time", "data_time", "teacher_time"),
}


def read_metrics(path: str | os.PathLike[str]) -> dict[str, list[tuple[int, float]]]:
    """Read a metrics.json: one JSON object per line, each with ``iteration``.

    Args:
        path: the file, or the folder of a run that holds it.

    Returns:
        For each metric its (iteration, value), ascending; a resumed run's later values win.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a line in the middle is no JSON object with an iteration. A torn last line is left out.
    """
    file = Path(path)
    file = file / "metrics.json" if file.is_dir() else file
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; metrics.json is written into OUTPUT_DIR by training")
    values: dict[str, dict[int, float]] = {}
    lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            iteration = int(record["iteration"])
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise ValueError(f"{file}, line {number}: not a record of metrics ({error})") from None
        for name, value in record.items():
            if name != "iteration" and isinstance(value, int | float) and math.isfinite(value):
                values.setdefault(name, {})[iteration] = float(value)
    return {name: sorted(points.items()) for name, points in values.items()}


def save_curves(series: Series, path: str | os.PathLike[str], marks: Mapping[str, int] | None = None) -> None:
    """Draw one panel per topic that has values, as a PNG, whole or not at all.

    Args:
        series: as of ``read_metrics``.
        path: where to; missing folders are made.
        marks: iterations to mark by a vertical line, by their label.

    Raises:
        ValueError: no metric that has a panel.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chosen = panels_of(series)
    if not chosen:
        raise ValueError(f"none of the metrics has a curve: {sorted(series)[:10]}")
    rows = (len(chosen) + 1) // 2
    figure = Figure(figsize=(12, 3.2 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, 2, squeeze=False).flatten()
    for axes, (title, names) in zip(panels, chosen.items(), strict=False):
        _draw(axes, {name: series[name] for name in names}, marks or {})
        axes.set_title(title, fontsize=10)
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with atomic_open(path) as file:
        file.write(buffer.getvalue())


def panels_of(series: Series) -> dict[str, list[str]]:
    """Title -> names of its metrics, for each panel that has any."""
    chosen = {title: _matching(series, patterns) for title, patterns in PANELS.items()}
    return {title: names for title, names in chosen.items() if names}


def label_of(name: str) -> str:
    """What a metric is called in a legend."""
    if name in _LABELS:
        return _LABELS[name]
    head, _, task = name.removesuffix("/AP").rpartition("/")
    if f"{task}/AP" in _LABELS:
        return f"{_LABELS[f'{task}/AP']}, {head}"
    return {"teacher_segm/AP": "masks of the teacher"}.get(name) or name.rpartition("/")[2].removeprefix("loss_")


def _matching(series: Series, patterns: Sequence[str]) -> list[str]:
    return [name for pattern in patterns for name in sorted(series) if fnmatch.fnmatchcase(name, pattern)]


def _draw(axes: Axes, curves: Series, marks: Mapping[str, int]) -> None:
    for name, points in curves.items():
        steps, values = zip(*points, strict=True)
        marker = "o" if len(points) < 3 else None
        axes.plot(steps, values, label=label_of(name), linewidth=1.4, marker=marker, markersize=4)
    for label, iteration in marks.items():
        axes.axvline(iteration, color="#888888", linewidth=0.9, linestyle=":")
        axes.annotate(label, (iteration, 1), xycoords=("data", "axes fraction"), xytext=(3, -10),
                      textcoords="offset points", fontsize=7, color="#666666")  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.0), high)
    axes.set_xlabel("iteration", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="best")
