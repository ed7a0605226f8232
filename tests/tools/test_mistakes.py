"""Every tool ends a mistake of the user with one line and exit status 2, and a bug with its traceback."""

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from depthbox.errors import Stopped

ROOT = Path(__file__).parents[2]
TOOLS = sorted((ROOT / "tools").glob("*.py"))
# A call of each tool with a file that does not exist or is broken, and the words that name it.
MISTAKES = {
    "ablate": (["none.yaml", "--output", "out"], "none.yaml does not exist"),
    "analyze_affinity": (["--json", "none.json", "--images", ".", "--output", "out"], "none.json does not exist"),
    "benchmark": (["nothing", "--output", "out"], "unknown part nothing; the parts are"),
    "check_data": (["--data", "none.json", "--images", "."], "none.json does not exist"),
    "coco_test_dev": (["none.json", "--output", "out", "--info", "none.json"], "none.json does not exist"),
    "compare_labels": (["--json", "none.json", "--images", ".", "--weights", "none.pth"], "none.pth does not exist"),
    "convert_cityscapes": ([".", "--split", "val", "--output", "out.json"], "leftImg8bit"),
    "compare_point_masks": (["--json", "a.json", "--images", ".", "--truth", "none.json"], "none.json"),
    "convert_voc": ([".", "--split", "val", "--output", "out.json"], "JPEGImages"),
    "demo": (["--config-file", "none.yaml", "--output", "out"], "none.yaml does not exist"),
    "generate_pseudo_depth": (
        ["--images", "none", "--output", "out", "--model", "."],
        "the model '.' cannot be loaded",
    ),
    "make_points": (["none.json", "--output", "out.json"], "none.json does not exist"),
    "make_class_maps": (["none.json", "--output", "out"], "none.json does not exist"),
    "make_synthetic": (["--output", "out", "--seed", "-1", "--count", "1"], "seed and workers >= 0"),
    "plot_metrics": (["none"], "none"),
    "subset_coco": (["none.json", "--count", "1", "--output", "out.json"], "none.json does not exist"),
    "train_net": (["--config-file", "none.yaml"], "none.yaml does not exist"),
    "visualize": (["--config-file", "none.yaml"], "none.yaml does not exist"),
}


def call(path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Run a script in this process and return its exit status."""
    monkeypatch.setattr(sys, "argv", [path.name, *words])
    monkeypatch.syspath_prepend(path.parent)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path), run_name="__main__")
    return end.value.code


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_a_missing_file_is_one_line_with_status_2(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words, message = MISTAKES[path.stem]
    monkeypatch.chdir(tmp_path)
    assert call(path, words, monkeypatch) == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"{path.name}: ") and message in last
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_debug_adds_the_traceback(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words, message = MISTAKES[path.stem]
    monkeypatch.chdir(tmp_path)
    assert call(path, [*words, "--debug"], monkeypatch) == 2
    shown = capfd.readouterr().err
    assert "Traceback (most recent call last)" in shown and message in shown.strip().splitlines()[-1]


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_an_unknown_option_ends_with_status_2(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(path, ["--no-such-option"], monkeypatch) == 2
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyboardInterrupt(), 130, "stopped"),
        (Stopped(signal.SIGTERM), 143, "plot_metrics.py: stopped by SIGTERM"),
        (Stopped(signal.SIGHUP, "checkpoint written"), 129, "plot_metrics.py: checkpoint written"),
        (BrokenPipeError(), 141, ""),
        (FloatingPointError("the loss is\nnot finite"), 2, "plot_metrics.py: the loss is not finite"),
        (ValueError("a\x1b[2Jb"), 2, "plot_metrics.py: a\\x1b[2Jb"),
    ],
)
def test_stops_and_mistakes_have_their_own_status(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: BaseException, status: int, line: str
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr("depthbox.visualization.curves.read_metrics", fail)
    monkeypatch.setattr(os, "dup2", lambda *given: None)  # keeps the output of the tests
    assert call(ROOT / "tools" / "plot_metrics.py", ["run"], monkeypatch) == status
    assert capfd.readouterr().err.strip() == line


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("depthbox.visualization.curves.read_metrics", fail)
    monkeypatch.setattr(sys, "argv", ["plot_metrics.py", "run"])
    with pytest.raises(ZeroDivisionError, match="a bug"):
        runpy.run_path(str(ROOT / "tools" / "plot_metrics.py"), run_name="__main__")


def test_broken_training_data_is_one_line_in_a_real_process(tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text('{"images": [')
    words = ["--config-file", str(ROOT / "tests" / "tiny.yaml"), "OUTPUT_DIR", str(tmp_path / "run")]
    data = ["DATASETS.COCO_STYLE", "[['x', 'boxes.json', '.', '']]", "DATASETS.TRAIN", "('x',)"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "train_net.py"), *words, *data],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "train_net.py: boxes.json" in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "run").exists()
