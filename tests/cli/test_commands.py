"""depthbox check, depth, visualize, eval and doctor; tests/tools test their tools in full."""

import json
import math
from pathlib import Path

import pytest

from depthbox.cli import check, depth, doctor, visualize
from depthbox.cli import eval as evaluate
from depthbox.cli.main import COMMANDS, main, make_parser, parse
from depthbox.data.check.check import CheckSettings
from depthbox.data.pseudo_depth.folder import SIDECAR
from depthbox.data.pseudo_depth.model import INVERT, SHORT_NAMES

CONFIG = str(Path(__file__).parents[2] / "configs" / "coco" / "boxinst_R_50_1x.yaml")


def test_check_has_the_defaults_of_the_package():
    arguments = parse(check, ["--json", "a", "--images", "b"])
    settings = CheckSettings(Path("a"), Path("b"))
    for name in ("min_size", "max_size", "max_images", "workers", "depth"):
        assert getattr(arguments, name) == getattr(settings, name), name


def test_check_prints_findings_and_returns_the_status(scenes, capsys, tmp_path):
    words = ["check", "--json", str(scenes / "boxes.json"), "--images", str(scenes / "train")]
    report = tmp_path / "found.json"
    assert main([*words, "--report", str(report)]) == 0
    assert "8 images" in capsys.readouterr().out and json.loads(report.read_text())["ok"]
    assert main([*words, "--depth", str(tmp_path)]) == 1
    assert "[depth_missing]" in capsys.readouterr().out


def test_depth_repeats_the_names_of_the_package():
    assert SIDECAR in depth.EXAMPLES
    for short, name in SHORT_NAMES.items():
        assert f"{short} = {name}" in depth.EXAMPLES
    option = next(a for a in make_parser(depth)._actions if a.dest == "invert")
    assert tuple(option.choices) == INVERT


def test_visualize_draws_the_data(scenes, tmp_path, capsys):
    entry = [["drawn", str(scenes / "boxes.json"), str(scenes / "train"), ""]]
    output = tmp_path / "look.png"
    words = ["--count", "2", "--output", str(output), "DATASETS.COCO_STYLE", repr(entry), "DATASETS.TEST", "('drawn',)"]
    assert visualize.run(parse(visualize, words)) == 0
    assert capsys.readouterr().out.strip() == str(output) and output.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--run or a config"),
        (["--run", "gone"], "gone is not the folder of a training run"),
        (["--config-file", "a.yaml", "--weights", "gone.pth"], "no checkpoint gone.pth"),
        (["--config-file", CONFIG, "--data", "x.json"], " x.json: correct --data"),
        (["--config-file", "gone.yaml"], "no config file gone.yaml"),
    ],
)
def test_eval_names_mistakes(capsys, words, message):
    assert main(["eval", *words]) == 2
    assert message in capsys.readouterr().err


def test_eval_of_a_run_without_weights(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("VERSION: 2\n")
    assert main(["eval", "--run", str(tmp_path)]) == 2
    assert "has no checkpoint yet" in capsys.readouterr().err


def test_eval_table():
    values = {"AP": 12.25, "AP50": math.nan, "AP75": 1, "APs": 2, "APm": 3, "APl": 4}
    shown = evaluate.table({"bbox": values, "segm": values})
    assert shown.splitlines()[1].split() == ["boxes", "12.25", "-", "1.00", "2.00", "3.00", "4.00"]
    assert "masks" in shown and "no ground-truth masks" not in shown and max(map(len, shown.splitlines())) <= 79
    assert "no ground-truth masks" in evaluate.table({"a": {"bbox": values}, "b": {"bbox": values}})


def test_doctor_finds_no_failure_here_and_its_network_learns(capsys):
    assert main(["doctor", "--quick"]) == 0
    shown = capsys.readouterr().out
    for name in ("python", "torch", "gpu", "detectron2", "extras", "threads", "memory", "disk"):
        assert f"  {name} " in shown, name
    assert max(map(len, shown.splitlines())) <= 79
    assert 0 < doctor.run_self_test("cpu") < 100


def test_doctor_reports_failures_and_continues(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "run_self_test", lambda device: math.nan)
    monkeypatch.setattr(doctor, "check_torch", lambda: iter([1 / 0]))
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "FAIL  torch" in shown and "ZeroDivisionError" in shown and "not finite" in shown and "2 failed" in shown


def test_extras_come_from_the_metadata():
    lines = ["torch>=2", 'transformers>=5; extra == "depth"', "pytest>=8 ; extra == 'dev'", 'onnx; extra == "export"']
    assert doctor.list_extras([*lines, 'onnxruntime; extra == "export"']) == {
        "depth": ["transformers"],
        "export": ["onnx", "onnxruntime"],
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []
