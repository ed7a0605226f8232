"""Folder of a run: log messages, seed, command, numbers that were not finite, and the record of the machine."""

import json
import logging
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from depthbox import __version__
from depthbox.io.files import WriteError
from depthbox.reports import machine, run_folder
from depthbox.reports.machine import collect_machine_facts, device_name
from depthbox.reports.run_folder import NOTE, RecordedRun, note_run, read_run
from depthbox.reports.training import make_report

LINE = "[2026-01-02 03:04:{second:02d}] depthbox.engine {level}: {text}"


def write_run(folder: Path, *records: dict[str, Any], log: str = "", config: str = "", note: Any = None) -> RecordedRun:
    """Write the files of a run and read them."""
    rows = records or ({"iteration": 0, "total_loss": 1.0},)
    (folder / "metrics.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, text in (("log.txt", log), ("config.yaml", config), (NOTE, "" if note is None else json.dumps(note))):
        if text:
            (folder / name).write_text(text)
    return read_run(folder)


def make_log(*messages: tuple[str, str]) -> str:
    """Return log lines of (level, text), one second apart."""
    return "".join(LINE.format(second=n, level=level, text=text) + "\n" for n, (level, text) in enumerate(messages))


def test_a_run_of_metrics_alone_has_no_other_content(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    assert run.series == {"total_loss": [(0, 1.0)]}
    assert (run.command, run.seed, run.begin, run.end, run.config_text) == ("", None, "", "", "")
    assert run.messages == () and run.config == {} and run.facts == {} and run.not_finite == {}


def test_warnings_and_errors_of_the_log_are_kept_with_their_times(tmp_path: Path) -> None:
    log = make_log(("INFO", "started"), ("WARNING", "slow disk"), ("ERROR", "a [b]: c"), ("INFO", "done"))
    run = write_run(tmp_path, log="Traceback of something else\n" + log)
    assert run.messages == ("2026-01-02 03:04:01 WARNING slow disk", "2026-01-02 03:04:02 ERROR a [b]: c")
    assert (run.begin, run.end) == ("2026-01-02 03:04:00", "2026-01-02 03:04:03")


def test_only_the_last_forty_messages_are_kept(tmp_path: Path) -> None:
    run = write_run(tmp_path, log=make_log(*(("WARNING", f"message {n}") for n in range(50))))
    assert len(run.messages) == 40
    assert run.messages[0].endswith("message 10") and run.messages[-1].endswith("message 49")


def test_the_first_command_of_the_log_is_that_of_the_run(tmp_path: Path) -> None:
    log = make_log(("INFO", "Run: depthbox train --data a.json"), ("INFO", "Run: depthbox train --resume"))
    assert write_run(tmp_path, log=log).command == "depthbox train --data a.json"
    noted = write_run(tmp_path, log=log, note={"command": "from run.json", "facts": {"torch": 2}})
    assert noted.command == "from run.json" and noted.facts == {"torch": "2"}


def test_the_seed_of_the_log_has_priority_over_the_config(tmp_path: Path) -> None:
    assert write_run(tmp_path, config="SEED: 5\n").seed == 5
    log = make_log(("INFO", "Random seed 77 (set SEED 77 to repeat this run)"))
    assert write_run(tmp_path, config="SEED: -1\n", log=log).seed == 77


def test_versions_are_read_from_the_table_of_the_log(tmp_path: Path) -> None:
    table = "sys.platform        linux\nPython              3.12.3\nPyTorch             2.9.0 @/lib/torch\n"
    run = write_run(tmp_path, log=table + "GPU 0,1             NVIDIA H100 (arch=9.0)\nmade-up             1\n")
    assert run.facts == {
        "sys.platform": "linux",
        "Python": "3.12.3",
        "PyTorch": "2.9.0",
        "GPU 0,1": "NVIDIA H100 (arch=9.0)",
    }


def test_losses_and_health_that_are_not_finite_are_found_at_their_first_iteration(tmp_path: Path) -> None:
    run = write_run(
        tmp_path,
        {"iteration": 19, "total_loss": 1.0, "raw/projection": 1.0, "segm/AP": None},
        {"iteration": 39, "total_loss": None, "raw/projection": float("inf")},
        {"iteration": 59, "total_loss": float("nan"), "health/mask_fill": float("nan"), "time": float("nan")},
    )
    assert run.not_finite == {"total_loss": 39, "raw/projection": 39, "health/mask_fill": 59}


def test_settings_are_found_by_their_key(tmp_path: Path) -> None:
    run = write_run(tmp_path, config="SOLVER:\n  MAX_ITER: 40\n  BASE_LR: 0.5\nSEED: 3\n")
    assert run.setting("SOLVER.MAX_ITER") == 40 and run.setting("SEED") == 3
    assert run.setting("SOLVER.STEPS") is None and run.setting("SOLVER.STEPS", ()) == ()
    assert run.setting("SEED.MORE", "none") == "none" and run.setting("MODEL.DEVICE") is None


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("config.yaml", "a: [", "expected"),
        ("config.yaml", "- 1\n- 2\n", "it does not hold a mapping"),
        (NOTE, "{", "Expecting property name"),
        (NOTE, "[]", "it does not hold a mapping"),
    ],
)
def test_a_broken_file_is_named_with_a_remedy(tmp_path: Path, name: str, text: str, cause: str) -> None:
    write_run(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match="is broken") as caught:
        read_run(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name} is broken (") and message.endswith("); move it away")
    assert cause in message and "\n" not in message


def test_the_record_of_a_run_is_kept_when_it_is_resumed(tmp_path: Path) -> None:
    note_run(tmp_path, "first command", resume=True)
    first = json.loads((tmp_path / NOTE).read_text())
    assert first["command"] == "first command" and first["facts"]["DepthBox"] == __version__
    note_run(tmp_path, "second command", resume=True)
    assert json.loads((tmp_path / NOTE).read_text()) == first
    note_run(tmp_path, "third command", resume=False)
    assert json.loads((tmp_path / NOTE).read_text())["command"] == "third command"


def test_a_record_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"file is a file, not a folder"):
        note_run(tmp_path / "file", "command", resume=False)


def test_unknown_facts_do_not_stop_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("no machine")

    monkeypatch.setattr(run_folder, "collect_machine_facts", fail)
    with caplog.at_level(logging.WARNING):
        note_run(tmp_path, "command", resume=False)
    assert "no machine" in caplog.text
    assert json.loads((tmp_path / NOTE).read_text())["command"] == "command"


def test_the_machine_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_commit", lambda: "abc-dirty")
    facts = collect_machine_facts()
    assert list(facts)[:3] == ["DepthBox", "commit", "Python"] and facts["commit"] == "abc-dirty"
    assert torch.__version__.startswith(facts["torch"]) and facts["processes"] == "1"
    assert ("GPU" in facts) == torch.cuda.is_available() and facts["processor"] == device_name("cpu")
    monkeypatch.setattr(machine, "find_commit", lambda: "")
    assert "commit" not in collect_machine_facts()


def test_a_processor_has_its_name_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(machine.Path, "read_text", lambda path: "model name\t: AMD EPYC 7763 \nmodel name\t: second\n")
    assert device_name("cpu") == "AMD EPYC 7763, 8 cores"
    monkeypatch.setattr(machine.Path, "read_text", lambda path: "")
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "aarch64")
    assert device_name("cpu") == "aarch64, 8 cores"


def test_without_git_there_is_not_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*words: object, **options: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", fail)
    assert machine.find_commit() == ""


@pytest.mark.parametrize("value", ["", "[[1, x]]", "{A: 1}", "True", ".nan", "abc", "[null]"])
@pytest.mark.parametrize("key", ["DATASETS.TEST", "DATASETS.TRAIN", "SOLVER.MAX_ITER", "SEED", "DATASETS", "SOLVER"])
def test_a_report_survives_values_of_another_type(tmp_path: Path, key: str, value: str) -> None:
    section, _, last = key.partition(".")
    run = write_run(tmp_path, config=f"{section}: {{{last}: {value}}}\n" if last else f"{key}: {value}\n")
    report = make_report(run)
    assert "1 iterations" in str(report) or "1 of" in str(report)
