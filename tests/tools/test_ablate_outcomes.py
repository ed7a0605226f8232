"""tools/ablate.py after its runs: lines of failed runs, exit status, interruption, and runs to resume."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ablation_toy import calls, fake, lab, plan  # noqa: F401 (lab is a fixture)
from script_toy import load_script

from depthbox.config import ConfigError
from depthbox.experiments.ablation.runner import execute

SCRIPT = Path(__file__).parents[2] / "tools" / "ablate.py"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, lab: Path) -> ModuleType:  # noqa: F811
    """Import the tool with a quick script in the place of training."""
    module = load_script(SCRIPT)
    command = fake(lab)

    def execute_quickly(runs: Any, devices: Any, given: list[str], after_run: Any) -> Any:
        assert given == [sys.executable, str(SCRIPT.with_name("train_net.py"))]
        return execute(runs, devices, command, after_run, poll=0.02)

    monkeypatch.setattr(module, "execute", execute_quickly)
    monkeypatch.setattr(sys, "argv", ["ablate.py"])
    return module


def words(lab: Path, *names: str) -> list[str]:  # noqa: F811
    return [*(str(lab / f"{name}.yaml") for name in names), "--output", str(lab / "out"), "--devices", "cpu"]


def test_a_failed_run_is_shown_with_its_last_lines_and_the_others_are_in_the_table(
    tool: ModuleType,
    lab: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert tool.main([*words(lab, "fails", "better"), "--objects", "0"]) == 1
    shown = capsys.readouterr().out
    console = lab / "out" / "fails" / "seed_0" / "console.txt"
    assert f"fails/seed_0 failed with exit status 1; last lines of {console}:\n" in shown
    assert "    fake training of fails\n    it broke: fails\n" in shown
    table = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.startswith(("fails ", "better "))}
    assert table == {"fails": ["0", "-", "-", "-", "-"], "better": ["1", "10.00", "-", "-", "20.00"]}
    assert shown.rstrip().endswith(f"{lab / 'out'}: ablation.json, ablation.md, ablation.png")


def test_runs_without_failures_have_the_status_0_and_are_not_repeated(
    tool: ModuleType,
    lab: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        assert tool.main([*words(lab, "plain"), "--objects", "0"]) == 0
    assert "1 of 1 runs are finished already" in capsys.readouterr().out
    assert calls(plan([lab / "plain.yaml"], [0], lab)[0]) == ["start"]


def test_a_stopped_run_is_listed_as_resumable(
    tool: ModuleType,
    lab: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert tool.main([*words(lab, "cut"), "--objects", "0"]) == 1
    assert "cut/seed_0 failed with exit status 3" in capsys.readouterr().out
    assert tool.main([*words(lab, "cut", "plain"), "--list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "cut/seed_0: to resume, 4 iterations" and " --resume " in shown[1]
    assert shown[2] == "plain/seed_0: to start, 4 iterations" and " --resume " not in shown[3]
    assert shown[4] == "devices: cpu"
    assert tool.main([*words(lab, "cut"), "--objects", "0"]) == 0, "the same command resumes the run"
    assert calls(plan([lab / "cut.yaml"], [0], lab)[0]) == ["start", "resume"]


def test_an_interruption_names_the_way_to_continue(
    tool: ModuleType,
    lab: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "execute", interrupt)
    assert tool.main(words(lab, "plain")) == 130
    assert capsys.readouterr().out == "stopped; the same command resumes the runs\n"


@pytest.mark.parametrize("error", [ConfigError("a bad key"), OSError("disk full")])
def test_errors_of_a_run_are_passed_on(
    tool: ModuleType,
    lab: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr(tool, "execute", fail)
    with pytest.raises(type(error)) as caught:
        tool.main(words(lab, "plain"))
    assert caught.value is error


def test_rows_without_predictions_are_named_below_the_table(
    tool: ModuleType,
    lab: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert tool.main(words(lab, "plain")) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("plain is not in ablation_masks.png: ") and "truth.json" in last
