"""Plots of the benchmark: bars and curves have the values of their rows."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from depthbox.benchmark import plots


def row(op: str, speedup: float | None, ratio: float | None = 2.0, **more: Any) -> dict[str, Any]:
    return {"op": op, "device": "cpu", "speedup": speedup, "memory_ratio": ratio, **more}


def count_pixels(path: Path, color: str) -> int:
    """Count the pixels of a color."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return int((np.abs(pixels - np.round(np.array(to_rgb(color)) * 255)).max(2) <= 1).sum())


def test_longer_bars_for_larger_speedups(tmp_path: Path) -> None:
    plots.save_bars([row("a", 2.0), row("b", 100.0)], tmp_path / "both.png")
    plots.save_bars([row("a", None, None), row("b", 100.0)], tmp_path / "one.png")
    color = plots._COLORS["cpu"]
    assert count_pixels(tmp_path / "both.png", color) > count_pixels(tmp_path / "one.png", color) > 1000
    assert count_pixels(tmp_path / "both.png", plots._COLORS["cuda"]) == 0


def test_rows_of_a_gpu_have_another_color(tmp_path: Path) -> None:
    plots.save_bars([row("a", 5.0), {**row("a", 5.0), "device": "cuda"}], tmp_path / "bars.png")
    cpu, cuda = (count_pixels(tmp_path / "bars.png", plots._COLORS[device]) for device in ("cpu", "cuda"))
    assert cpu > 1000 and 0.8 < cpu / cuda < 1.25


@pytest.mark.parametrize("value", [0.5, 1.0, math.inf, None])
def test_bars_accept_slower_rows_and_missing_values(tmp_path: Path, value: float | None) -> None:
    plots.save_bars([row("a", value, value)], tmp_path / "new" / "bars.png")
    assert Image.open(tmp_path / "new" / "bars.png").size[0] > 1000


def test_labels_name_the_objects_of_repeated_ops() -> None:
    rows = [row("targets", 4.0, objects=7), row("targets", 131.0, objects=300), row("paste", 69.0)]
    assert [plots._label(r, rows) for r in rows] == [
        "targets, cpu, 7 objects",
        "targets, cpu, 300 objects",
        "paste, cpu",
    ]
    other = {**rows[0], "device": "cuda"}
    assert plots._label(other, [*rows, other]) == "targets, cuda"


def test_curves_omit_points_that_were_not_measured(tmp_path: Path) -> None:
    points = [{"objects": n, "device": "cpu", "input": "8 x 8", "ours_s": 0.1, "ours_peak_mb": 90.0} for n in (1, 10)]
    plots.save_curve(points, tmp_path / "ours.png")
    both = [{**p, "baseline_s": 1.0 * p["objects"], "baseline_peak_mb": 900.0} for p in points]
    plots.save_curve(both, tmp_path / "both.png")
    ours, baseline = plots._WHO["ours"], plots._WHO["baseline"]
    assert count_pixels(tmp_path / "ours.png", ours) > 100 and count_pixels(tmp_path / "ours.png", baseline) == 0
    assert count_pixels(tmp_path / "both.png", baseline) > 100
