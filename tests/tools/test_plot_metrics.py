"""tools/plot_metrics.py: the written PNG, its panels, and messages about files that cannot be drawn."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from script_toy import load_script

SCRIPT = Path(__file__).parents[2] / "tools" / "plot_metrics.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_script(SCRIPT)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the metrics of a run with one panel."""
    monkeypatch.setattr(sys, "argv", ["plot_metrics.py"])
    write(tmp_path, *({"iteration": n, "loss_fcos_cls": 1 / (n + 1)} for n in range(0, 100, 20)))
    return tmp_path


def write(folder: Path, *records: dict[str, Any]) -> None:
    (folder / "metrics.json").write_text("".join(json.dumps(record) + "\n" for record in records))


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_the_curves_are_written_beside_the_metrics(
    tool: ModuleType, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given in (run, run / "metrics.json"):
        tool.main([str(given)])
        assert capsys.readouterr().out == f"{run / 'curves.png'}\n"
        (run / "curves.png").rename(run / f"{given.name}.png")
    assert (run / f"{run.name}.png").read_bytes() == (run / "metrics.json.png").read_bytes()


def test_the_output_can_be_chosen_and_its_folder_is_made(tool: ModuleType, run: Path) -> None:
    tool.main([str(run), "--output", str(run / "new" / "a.png")])
    assert (run / "new" / "a.png").is_file() and not (run / "curves.png").exists()


def test_more_topics_give_more_panels(tool: ModuleType, run: Path) -> None:
    tool.main([str(run)])
    one = read(run / "curves.png")
    rows = [{"iteration": n, "loss_fcos_cls": 1.0, "time": 0.5, "raw/projection": 0.2} for n in (0, 20)]
    write(run, *rows)
    tool.main([str(run)])
    three = read(run / "curves.png")
    assert three.shape[0] == 2 * one.shape[0] and three.shape[1] == one.shape[1], "two panels in a row"
    right = one[:, one.shape[1] // 2 + 20 :]
    assert (right == 255).all(), "the place of a second panel is empty"


def test_the_start_of_the_teacher_is_marked(tool: ModuleType, run: Path) -> None:
    plain = [{"iteration": n, "loss_fcos_cls": 1.0, "distill/score": 0.5} for n in range(0, 100, 20)]
    gray = []
    for extra in ({}, {"distill/reliable": 0.5}):
        write(run, *plain[:2], *({**row, **extra} for row in plain[2:]))
        tool.main([str(run)])
        pixels = read(run / "curves.png")
        gray.append((pixels == 0x88).all(-1).sum())
    assert gray[1] > gray[0] + 50, "a dotted line in each panel"


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "/ has no losses, AP or times to draw; wait until training has written some"),
        ([{"iteration": 0, "lr": 0.1}], "/ has no losses, AP or times to draw"),
        ([{"loss_fcos_cls": 1.0}, {"iteration": 1}], "metrics.json, line 1: not a record of metrics"),
    ],
)
def test_files_that_cannot_be_drawn_end_with_one_line(
    tool: ModuleType, run: Path, records: list[dict[str, Any]], message: str
) -> None:
    write(run, *records)
    with pytest.raises(ValueError) as caught:
        tool.main([str(run)])
    text = str(caught.value)
    assert message.replace("/", str(run)) in text and "\n" not in text
    assert not (run / "curves.png").exists()


def test_a_folder_without_metrics_is_named_with_the_remedy(tool: ModuleType, run: Path) -> None:
    (run / "metrics.json").unlink()
    with pytest.raises((ValueError, OSError), match=r"metrics\.json does not exist; metrics\.json is written"):
        tool.main([str(run)])
    (run / "metrics.json").write_text('{"iteration": 0, "time": 1.0}\n')
    (run / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        tool.main([str(run), "--output", str(run / "file" / "a.png")])


def test_help_shows_examples(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tool.parse_arguments(["--help"])
    shown = capsys.readouterr().out
    assert "tools/plot_metrics.py output/r50 --output r50.png" in shown and "RUN/curves.png" in shown
