"""The runner of ablations, with a quick script in the place of the training."""

import os
import signal
import sys
import threading
import time

import pytest
import torch
from ablation_toy import calls, fake, plan

from depthbox.config.loading import ConfigError
from depthbox.experiments.ablation.plan import count_iterations, is_started, read_final_metrics
from depthbox.experiments.ablation.results import gather
from depthbox.experiments.ablation.runner import (
    CONSOLE,
    check_devices,
    execute,
    find_devices,
    make_command,
    make_environment,
)


def test_all_runs_are_executed_once_and_gathered(lab):
    runs = plan([lab / "plain.yaml", lab / "better.yaml"], [3, 1], lab)
    labels = ["plain/seed_3", "better/seed_3", "plain/seed_1", "better/seed_1"]
    assert [run.label for run in runs] == labels and [run.iterations for run in runs] == [4] * 4
    done: list[int] = []
    assert execute(runs, ["cpu"], fake(lab), lambda: done.append(len(gather(runs)["rows"][0]["seeds"])), 0.02) == []
    assert done == [1, 1, 2, 2]
    rows = gather(runs)["rows"]
    assert [row["name"] for row in rows] == ["plain", "better"] and rows[0]["seeds"] == [3, 1]
    assert rows[1]["mask_AP"] == [13.0, 11.0] and rows[1]["box_AP"] == [23.0, 21.0]
    assert rows[1]["mask_AP50"] == rows[1]["mask_AP75"] == [None, None] and rows[1]["config"].endswith("better.yaml")
    assert execute(runs, ["cpu"], fake(lab), poll=0.02) == []
    assert [calls(run) for run in runs] == [["start"]] * 4, "finished runs are not executed again"


def test_a_failure_is_reported_and_the_other_runs_continue(lab, capsys):
    runs = plan([lab / f"{name}.yaml" for name in ("fails", "mute", "plain")], [0], lab)
    failures = execute(runs, ["cpu"], fake(lab), poll=0.02)
    assert [(f.run.name, f.reason) for f in failures] == [
        ("fails", "failed with exit status 1"),
        ("mute", "ended without results"),
    ]
    assert failures[0].tail == "fake training of fails\nit broke: fails"
    assert read_final_metrics(runs[2].folder)["bbox/AP"] == 10
    again = execute(runs[:1], ["cpu"], fake(lab), poll=0.02)
    assert again[0].tail == failures[0].tail, "console output of this attempt alone"
    assert calls(runs[0]) == ["start", "resume"] and "plain/seed_0: done" in capsys.readouterr().out


def test_an_interrupted_run_is_resumed(lab):
    runs = plan([lab / "cut.yaml"], [0], lab)
    assert not is_started(runs[0])
    assert execute(runs, ["cpu"], fake(lab), poll=0.02)[0].reason == "failed with exit status 3"
    assert is_started(runs[0]) and count_iterations(runs[0].folder) == 2 and read_final_metrics(runs[0].folder) is None
    assert execute(runs, ["cpu"], fake(lab), poll=0.02) == []
    assert calls(runs[0]) == ["start", "resume"] and gather(runs)["rows"][0]["box_AP"] == [30]


def test_two_devices_execute_two_runs_at_a_time(lab, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("FAKE_MEETS", "1")  # each run waits for the start of the other
    runs = plan([lab / "plain.yaml", lab / "better.yaml"], [0], lab)
    assert not execute(runs, ["cpu", "cpu"], fake(lab), poll=0.02)
    threads = {(run.folder / "calls.txt").read_text().split()[1] for run in runs}
    assert threads == {str(max(1, os.cpu_count() // 2))}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_runner_terminates_its_runs(lab, number):
    runs = plan([lab / "waits.yaml", lab / "plain.yaml"], [0], lab)

    def interrupt():
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if count_iterations(runs[0].folder):
                os.kill(os.getpid(), number)
                return
            time.sleep(0.02)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        execute(runs, ["cpu"], fake(lab), poll=0.02)
    thread.join()
    pid = int((runs[0].folder / "calls.txt").read_text().split()[3])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert read_final_metrics(runs[0].folder) is None and not is_started(runs[1])
    assert signal.getsignal(signal.SIGTERM) == before


def test_each_run_gets_its_device_alone(lab):
    run = plan([lab / "plain.yaml"], [0], lab, "SOLVER.BASE_LR", "0.5")[0]
    words = make_command(run, "cuda:1", ["train"])
    assert words[:2] == ["train", "--config-file"] and "--resume" not in words
    assert words[words.index("MODEL.DEVICE") + 1] == "cuda" and words[words.index("SOLVER.BASE_LR") + 1] == "0.5"
    devices = ["cuda:0", "cuda:1", "cpu"]
    assert make_environment("cuda:1", devices, {}, 8) == {"CUDA_VISIBLE_DEVICES": "1"}
    assert make_environment("cuda:1", devices, {"CUDA_VISIBLE_DEVICES": "4,6"}, 8)["CUDA_VISIBLE_DEVICES"] == "6"
    assert make_environment("cpu", devices, {"OMP_NUM_THREADS": "3"}, 8)["OMP_NUM_THREADS"] == "3"
    with pytest.raises(ConfigError, match="cuda:99"):
        check_devices(["cpu", "cuda:99"])


def test_console_output_is_written_to_a_file(lab, capfd):
    runs = plan([lab / "plain.yaml"], [0], lab)
    execute(runs, ["cpu"], fake(lab), poll=0.02)
    assert (runs[0].folder / CONSOLE).read_text() == "fake training of plain\n"
    assert "fake training" not in capfd.readouterr().out


def test_a_resumed_run_gets_the_option(lab):
    (run,) = plan([lab / "plain.yaml"], [5], lab)
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_text(run.cfg.dump())
    words = make_command(run, "cpu", ["python", "train.py"])
    assert words[:5] == ["python", "train.py", "--config-file", run.config, "--resume"]
    assert words[-6:] == ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(run.folder), "SEED", "5"]


def test_the_cores_are_shared_by_the_runs_on_the_cpu():
    assert make_environment("cpu", ["cpu"] * 3, {"A": "b"}, 8) == {
        "A": "b",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "2",
    }
    assert make_environment("cpu", ["cpu"] * 3, {}, 2)["OMP_NUM_THREADS"] == "1"
    assert make_environment("cpu", ["cpu", "cuda:0"], {}, 8)["OMP_NUM_THREADS"] == "8"


def test_without_a_gpu_the_cpu_is_the_default_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert find_devices() == ["cpu"]
    with pytest.raises(ConfigError, match=r"--devices: cuda:0 cannot be used; choose among cpu$"):
        check_devices(["cpu", "cuda:0"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_devices() == ["cuda:0", "cuda:1"]
    check_devices(["cuda:1", "cpu", "cpu"])
    with pytest.raises(ConfigError, match="--devices: an empty list cannot be used"):
        check_devices([])


def test_results_are_collected_after_each_successful_run(lab):
    runs = plan([lab / name for name in ("fails.yaml", "plain.yaml", "better.yaml")], [0], lab)
    finished: list[list[str]] = []
    failures = execute(
        runs,
        ["cpu"],
        fake(lab),
        lambda: finished.append([run.name for run in runs if read_final_metrics(run.folder)]),
        poll=0.02,
    )
    assert finished == [["plain"], ["plain", "better"]] and [failure.run.name for failure in failures] == ["fails"]


def test_the_console_of_a_failure_is_shortened(lab, tmp_path):
    (run,) = plan([lab / "plain.yaml"], [0], lab)
    script = tmp_path / "loud.py"
    script.write_text("for n in range(100):\n    print('line', n)\nraise SystemExit(2)\n")
    (failure,) = execute([run], ["cpu"], [sys.executable, "-S", str(script)], poll=0.02)
    assert failure.reason == "failed with exit status 2"
    assert failure.tail.splitlines() == [f"line {n}" for n in range(85, 100)]
