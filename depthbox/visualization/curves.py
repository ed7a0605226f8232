"""Curves of a training run from its metrics.json: losses, health statistics, pseudo labels, AP."""

from __future__ import annotations

import fnmatch
import io
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io.files import atomic_open
from ..io.untrusted.json_files import try_parse_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = Sequence[tuple[int, float]]
Series = Mapping[str, Points]

_MAX_BYTES = 2**30  # of a metrics.json; a million lines have about 500 MB
_LAST_ITERATION = 1e12
_LARGEST = sys.float_info.max
_DOTS = 12  # curves of fewer points are drawn with dots
_AP_LABELS = {"bbox/AP": "boxes", "segm/AP": "masks", "boxfill/AP": "filled boxes as masks"}


@dataclass(frozen=True)
class PanelSpec:
    """Topic of a panel of curves.

    Attributes:
        title: title shown above the panel.
        metrics: patterns of names in metrics.json; "*" matches any text.
    """

    title: str
    metrics: tuple[str, ...]


# Panel id -> topic, in the order of display.
PANELS: Mapping[str, PanelSpec] = {
    "detector_losses": PanelSpec("Detector losses", ("loss_fcos_*",)),
    "mask_losses": PanelSpec("Mask losses before their warm-up", ("raw/*",)),
    "mask_fill": PanelSpec("Share of its box that a mask fills", ("health/mask_fill",)),
    "locations": PanelSpec("Assigned locations per image, and those with a mask", ("health/*_per_image",)),
    "pseudo_labels": PanelSpec(
        "Pseudo labels of the teacher (shares of boxes, mean score)",
        ("distill/matched", "distill/reliable", "distill/score"),
    ),
    "class_maps": PanelSpec("Learned class maps (shares of images and pixels)", ("semantic/*",)),
    "accuracy": PanelSpec(
        "AP",
        (*_AP_LABELS, "teacher_segm/AP", "*/bbox/AP", "*/segm/AP", "*/boxfill/AP", "*segm/mAP*"),
    ),
    "step_time": PanelSpec("Seconds per step", ("time", "data_time", "teacher_time")),
}


def read_metrics(path: str | os.PathLike[str]) -> dict[str, list[tuple[int, float]]]:
    """Read a ``metrics.json``: one JSON object per line, each with ``iteration``.

    Args:
        path: the file, or the folder of a run that contains it.

    Returns:
        (iteration, value) of each metric, ascending. The last value of an iteration wins, as after a resume.
        Infinite and NaN values are left out.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a line other than the last is not a JSON object with an iteration. An incomplete last line is
            left out.
    """
    file = Path(path)
    file = file / "metrics.json" if file.is_dir() else file
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; metrics.json is written into OUTPUT_DIR by training")
    values: dict[str, dict[int, float]] = {}
    lines = _read_lines(file)
    for number, line in enumerate(lines, start=1):
        record = parse_record(line)
        if record is None:
            if number == len(lines):
                break
            raise ValueError(f"{file}, line {number}: not a record of metrics; remove the line")
        for name, value in record.items():
            if name != "iteration" and isinstance(value, int | float) and abs(value) <= _LARGEST:
                values.setdefault(name, {})[record["iteration"]] = float(value)
    return {name: sorted(points.items()) for name, points in values.items()}


def parse_record(line: str) -> dict[str, Any] | None:
    """Return a line of ``metrics.json`` as a dict whose "iteration" is a whole number; None for any other line."""
    record = try_parse_json(line)
    iteration: Any = record.get("iteration") if isinstance(record, dict) else None
    if type(iteration) not in (int, float) or not 0 <= iteration <= _LAST_ITERATION or iteration != int(iteration):
        return None
    return {**record, "iteration": int(iteration)}


def save_curves(series: Series, path: str | os.PathLike[str], marks: Mapping[str, int] | None = None) -> None:
    """Draw one panel per topic that has values and save them as a PNG file.

    Args:
        series: metrics as returned by ``read_metrics``.
        path: output file; missing folders are created.
        marks: label -> iteration of vertical lines.

    Raises:
        ValueError: no metric belongs to a panel.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = group_by_panel(series)
    if not panels:
        raise ValueError(f"none of the metrics has a curve: {sorted(series)[:10]}")
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(12, 3.2 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, 2, squeeze=False, sharex=True).flatten()
    for axes, (panel, curves) in zip(grid, panels.items(), strict=False):
        _draw(axes, curves, marks or {})
        axes.set_title(PANELS[panel].title, fontsize=10)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with atomic_open(path, tidy=True) as file:
        file.write(buffer.getvalue())


def group_by_panel(series: Series) -> dict[str, dict[str, Points]]:
    """Return the curves of each panel that has any: panel id -> metric -> points."""
    panels = {
        panel: {
            name: series[name]
            for pattern in spec.metrics
            for name in sorted(series)
            if fnmatch.fnmatchcase(name, pattern)
        }
        for panel, spec in PANELS.items()
    }
    return {panel: curves for panel, curves in panels.items() if curves}


def find_teacher_start(series: Series) -> dict[str, int]:
    """Return the mark of the first pseudo labels, as ``marks`` of a drawing; empty without a teacher."""
    labeled = series.get("distill/reliable")
    return {"teacher starts": labeled[0][0]} if labeled else {}


def legend_label(name: str) -> str:
    """Return the legend label of a metric."""
    if name in _AP_LABELS:
        return _AP_LABELS[name]
    head, _, task = name.removesuffix("/AP").rpartition("/")
    if f"{task}/AP" in _AP_LABELS:
        return f"{_AP_LABELS[f'{task}/AP']}, {head}"
    return {"teacher_segm/AP": "masks of the teacher"}.get(name) or name.rpartition("/")[2].removeprefix("loss_")


def _read_lines(file: Path) -> list[str]:
    size = file.stat().st_size
    if size > _MAX_BYTES:
        raise ValueError(f"{file} has {size >> 20} MiB, more than the {_MAX_BYTES >> 20} MiB that are read")
    return file.read_text(encoding="utf-8", errors="replace").split("\n")


def _draw(axes: Axes, curves: Series, marks: Mapping[str, int]) -> None:
    for name, points in curves.items():
        steps, values = zip(*points, strict=True)
        marker = "o" if len(points) < _DOTS else None
        axes.plot(steps, values, label=legend_label(name), linewidth=1.4, marker=marker, markersize=4)
    for label, iteration in marks.items():
        axes.axvline(iteration, color="#888888", linewidth=0.9, linestyle=":")
        axes.annotate(label, (iteration, 1), xycoords=("data", "axes fraction"), xytext=(3, -10),
                      textcoords="offset points", fontsize=7, color="#666666")  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.0), high + (0.08 * (high - min(low, 0.0)) if marks else 0.0))  # space for the labels
    axes.set_xlabel("iteration", fontsize=8)
    axes.tick_params(labelsize=8, labelbottom=True)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="best")
