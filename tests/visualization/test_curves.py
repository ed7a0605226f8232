"""Curves from metrics.json."""

import json
from pathlib import Path

import cv2
import pytest

from depthbox.visualization.curves import read_metrics, save_curves


def write(path: Path, records: list[dict[str, object]], tail: str = "") -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + tail)
    return path


def test_reads_series_and_lets_a_resumed_run_win(tmp_path: Path) -> None:
    file = write(
        tmp_path / "metrics.json",
        [
            {"iteration": 19, "time": 1.0},
            {"iteration": 39, "time": 2.0, "segm/AP": float("nan")},
            {"iteration": 19, "time": 3.0},
        ],
        tail='{"iteration": 59, "ti',
    )
    assert read_metrics(tmp_path) == read_metrics(file) == {"time": [(19, 3.0), (39, 2.0)]}


def test_a_broken_line_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"metrics\.json"):
        read_metrics(tmp_path)
    file = write(tmp_path / "metrics.json", [{"iteration": 1}], tail='nonsense\n{"iteration": 2}\n')
    with pytest.raises(ValueError, match="line 2"):
        read_metrics(file)


def test_draws_what_there_is(tmp_path: Path) -> None:
    series = {"loss_fcos_cls": [(0, 2.0), (10, 1.0)], "distill/reliable": [(10, 0.5)], "lr": [(0, 0.1)]}
    save_curves(series, tmp_path / "a" / "curves.png", {"teacher begins": 5})
    picture = cv2.imread(str(tmp_path / "a" / "curves.png"))
    assert picture is not None and picture.std() > 5
    with pytest.raises(ValueError, match="none of the metrics"):
        save_curves({"lr": [(0, 0.1)]}, tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()
