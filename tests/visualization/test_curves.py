"""Reading metrics.json and drawing its curves."""

import json
from pathlib import Path

import cv2
import pytest

from depthbox.visualization.curves import (
    PANELS,
    find_teacher_start,
    group_by_panel,
    legend_label,
    read_metrics,
    save_curves,
)


def write(path: Path, records: list[dict[str, object]], tail: str = "") -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + tail)
    return path


def test_the_last_values_of_a_resumed_run_are_read(tmp_path: Path) -> None:
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


def test_broken_lines_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"metrics\.json"):
        read_metrics(tmp_path)
    file = write(tmp_path / "metrics.json", [{"iteration": 1}], tail='nonsense\n{"iteration": 2}\n')
    with pytest.raises(ValueError, match="line 2"):
        read_metrics(file)


def test_panels_with_values_are_drawn(tmp_path: Path) -> None:
    series = {"loss_fcos_cls": [(0, 2.0), (10, 1.0)], "distill/reliable": [(10, 0.5)], "lr": [(0, 0.1)]}
    save_curves(series, tmp_path / "a" / "curves.png", {"teacher starts": 5})
    image = cv2.imread(str(tmp_path / "a" / "curves.png"))
    assert image is not None and image.std() > 5
    with pytest.raises(ValueError, match="none of the metrics"):
        save_curves({"lr": [(0, 0.1)]}, tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_metrics_are_grouped_by_panel() -> None:
    points = [(0, 1.0)]
    names = ["x/segm/AP", "segm/AP", "time", "loss_fcos_loc", "loss_fcos_cls", "health/mask_fill", "total_loss"]
    panels = group_by_panel(dict.fromkeys(names, points))
    assert {panel: list(curves) for panel, curves in panels.items()} == {
        "detector_losses": ["loss_fcos_cls", "loss_fcos_loc"],
        "mask_fill": ["health/mask_fill"],
        "accuracy": ["segm/AP", "x/segm/AP"],
        "step_time": ["time"],
    }
    assert list(panels) == [panel for panel in PANELS if panel in panels], "in the order of display"


def test_labels_of_a_legend() -> None:
    names = ["segm/AP", "val/segm/AP", "teacher_segm/AP", "loss_fcos_cls", "raw/projection"]
    assert [legend_label(name) for name in names] == [
        "masks", "masks, val", "masks of the teacher", "fcos_cls", "projection"
    ]  # fmt: skip


def test_the_teacher_starts_with_the_first_pseudo_labels() -> None:
    assert find_teacher_start({"distill/reliable": [(40, 0.5), (60, 0.6)]}) == {"teacher starts": 40}
    assert find_teacher_start({"time": [(0, 1.0)]}) == {}


@pytest.mark.parametrize(
    "line",
    ["[]", "5", '{"iteration": null}', '{"iteration": 1e999}', '{"iteration": NaN}', '{"iteration": -1}',
     '{"iteration": 0.5}', '{"iteration": "1"}', '{"iteration": true}', '{"iteration": ' + "9" * 400 + "}", "[" * 9999],
)  # fmt: skip
def test_lines_without_a_usable_iteration_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "metrics.json").write_text(f'{line}\n{{"iteration": 1, "time": 2}}\n')
    with pytest.raises(ValueError, match=r"metrics\.json, line 1: not a record"):
        read_metrics(tmp_path)


def test_values_that_are_not_finite_numbers_are_left_out(tmp_path: Path) -> None:
    huge = "9" * 400
    (tmp_path / "metrics.json").write_text(
        f'{{"iteration": 1.0, "a": {huge}, "b": [], "c": "x", "d": -1e999, "e": 3}}\n'
    )
    assert read_metrics(tmp_path) == {"e": [(1, 3.0)]}
