"""Training in separate processes: killed and resumed, and two processes with the result of one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from engine_toy import toy_config, toy_overrides

from depthbox.config import ConfigError
from depthbox.engine import launch
from depthbox.engine.run import run

HERE = Path(__file__).parent
TOY = HERE.parent / "toys" / "engine_toy.py"
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
}


def start(entry, folder, processes=1, resume=False, **keys):
    command = [sys.executable, str(TOY), str(processes), "resume" if resume else "new"]
    return subprocess.Popen(
        [*command, *toy_overrides(entry, folder, **keys)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def weights(folder):
    return torch.load(folder / "model_final.pth", weights_only=True)["model"]


def kill_at_random(process, folder, random_number):
    """Wait for a checkpoint, and kill the process at a random moment within the next 20 steps."""
    deadline = time.monotonic() + 240
    while not list(folder.glob("model_*.pth")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random_number * 0.4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "model_final.pth").exists(), "the process was killed too late for this test"


def killed_and_resumed(entry, folder, processes, keys):
    random_number = random.SystemRandom().random()
    process = start(entry, folder, processes, **keys)
    kill_at_random(process, folder, random_number)
    process.stdout.close()
    output = finish(start(entry, folder, processes, resume=True, **{**keys, "TOY__NAP": 0.0}))
    assert "Resuming from" in output, output
    return weights(folder), f"killed after {random_number * 0.4:.4f} s"


KILLED = {"TOY__NAP": 0.02, "SOLVER__MAX_ITER": 60, "SOLVER__CHECKPOINT_PERIOD": 3, "SOLVER__STEPS": (30, 50)}


def test_killed_and_resumed_equals_uninterrupted(entry, tmp_path):
    run(toy_config(entry, tmp_path / "whole", **{**KILLED, "TOY__NAP": 0.0}))
    whole = weights(tmp_path / "whole")
    resumed, when = killed_and_resumed(entry, tmp_path / "killed", 1, KILLED)
    assert [key for key in whole if not torch.equal(whole[key], resumed[key])] == [], when


@pytest.mark.slow
def test_two_processes_killed_and_resumed_equal_uninterrupted(entry, tmp_path):
    finish(start(entry, tmp_path / "whole", processes=2, **{**KILLED, "TOY__NAP": 0.0}))
    whole = weights(tmp_path / "whole")
    resumed, when = killed_and_resumed(entry, tmp_path / "killed", 2, KILLED)
    assert [key for key in whole if not torch.equal(whole[key], resumed[key])] == [], when


def test_two_processes_equal_one(entry, tmp_path):
    keys = {"TOY__DROPOUT": 0.0, "DATASETS__TEST": (entry[0],), "SOLVER__ACCUMULATION_STEPS": 2}
    run(toy_config(entry, tmp_path / "one", **{**keys, "SOLVER__ACCUMULATION_STEPS": 1}))
    output = finish(start(entry, tmp_path / "two", processes=2, **keys))
    assert "2 processes on cpu" in output
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-5, atol=1e-6, msg=key)
    lines = [(tmp_path / name / "metrics.json").read_text().splitlines() for name in ("one", "two")]
    assert len(lines[0]) == len(lines[1]) == 2
    for first, second in zip(*(map(json.loads, part) for part in lines), strict=True):
        for key in ("loss_box", "loss_score", "lr", "bbox/AP"):
            if key in first:
                assert second[key] == pytest.approx(first[key], rel=1e-5, abs=1e-6), key


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def end_of(process):
    """Wait for the end of a process that fails, and return its output without torch's own warnings."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0, output
    return [line for line in output.splitlines() if "Warning" not in line and not line.startswith("  ")]


def ranks_of(launcher):
    """Return the processes of the ranks, in the order of their start."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if f"PPid:\t{launcher.pid}\n" in status.read_text():
                found.append((int(status.parent.name), (status.parent / "cmdline").read_text()))
        except OSError:  # it has ended
            continue
    return sorted(pid for pid, command in found if "spawn_main" in command)


def is_running(pid):
    """Return True if a process runs; one that nobody waited for has ended as well."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_for_checkpoint(process, folder):
    deadline = time.monotonic() + 240
    while not list(folder.glob("model_*.pth")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("receiver", ["launcher", "all", "rank 1"])
def test_two_processes_stopped_by_a_signal_and_resumed_equal_uninterrupted(entry, tmp_path, receiver):
    """As by ``kill``, by Ctrl-C in a terminal, and by a signal that one process gets alone."""
    keys = {**KILLED, "SOLVER__MAX_ITER": 400, "SOLVER__STEPS": (20, 200)}
    process = start(entry, tmp_path / "stopped", processes=2, **keys)
    wait_for_checkpoint(process, tmp_path / "stopped")
    ranks = ranks_of(process)
    targets = {"launcher": [process.pid], "all": [process.pid, *ranks], "rank 1": ranks[1:]}[receiver]
    sent = time.monotonic()
    for pid in targets:
        os.kill(pid, signal.SIGTERM)
    lines = end_of(process)
    assert process.returncode == 143 and time.monotonic() - sent < 30, lines
    assert sum("stopped by SIGTERM after iteration" in line for line in lines) == 1
    assert "Traceback" not in " ".join(lines) and not any(map(is_running, ranks))
    last = (tmp_path / "stopped" / "last_checkpoint").read_text()
    assert last in lines[-1]
    done = torch.load(tmp_path / "stopped" / last, weights_only=True)["iteration"] + 1
    keys = {**keys, "TOY__NAP": 0.0, "SOLVER__MAX_ITER": done + 7}
    finish(start(entry, tmp_path / "stopped", processes=2, resume=True, **keys))
    finish(start(entry, tmp_path / "whole", processes=2, **keys))
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert [key for key in whole if not torch.equal(whole[key], resumed[key])] == []


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_dead_rank_ends_all_with_one_sentence(entry, tmp_path, rank):
    process = start(entry, tmp_path, processes=2, **{**KILLED, "SOLVER__MAX_ITER": 4000})
    wait_for_checkpoint(process, tmp_path)
    ranks = ranks_of(process)
    os.kill(ranks[rank], signal.SIGKILL)
    killed = time.monotonic()
    lines = end_of(process)
    assert time.monotonic() - killed < 30
    assert f"rank {rank} of 2 was killed by signal 9 (SIGKILL)" in lines[-1] and "--resume" in lines[-1]
    assert "Traceback" not in " ".join(lines) and "Connection closed" not in " ".join(lines)
    assert not any(map(is_running, ranks))


@pytest.mark.slow
def test_ranks_end_with_a_killed_launcher(entry, tmp_path):
    process = start(entry, tmp_path, processes=2, **{**KILLED, "SOLVER__MAX_ITER": 4000})
    wait_for_checkpoint(process, tmp_path)
    ranks = ranks_of(process)
    process.kill()
    process.communicate(timeout=60)  # the pipe closes when all have ended
    assert len(ranks) == 2 and not any(map(is_running, ranks))


@pytest.mark.slow
def test_all_processes_stop_at_a_non_finite_loss(entry, tmp_path):
    process = start(entry, tmp_path, processes=2, TOY__POISON_ID=3)
    lines = end_of(process)
    assert process.returncode == 2 and "Traceback" not in " ".join(lines)
    assert "loss_box = nan on image" in lines[-1] and "image 3 (" in lines[-1]
    assert sum("loss_box = nan" in line for line in lines) == 1


@pytest.mark.slow
def test_a_bug_in_one_rank_shows_its_traceback_once(entry, tmp_path):
    process = start(entry, tmp_path, processes=2, TOY__BUG_RANK=1)
    lines = end_of(process)
    assert sum(line.startswith("Traceback") for line in lines) == 1
    assert "rank 1 of 2 failed, its traceback is above: KeyError: 'a bug of the toy'" in " ".join(lines[-1].split())


@pytest.mark.slow
def test_torchrun(entry, tmp_path):
    script = [str(TOY), "1", "new", *toy_overrides(entry, tmp_path)]
    result = subprocess.run([*TORCHRUN, *script], env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "2 processes on cpu" in result.stdout


@pytest.mark.slow
def test_torchrun_passes_signals_and_mistakes_on(entry, tmp_path):
    """The run is stopped with a checkpoint; a mistake of one rank is printed by this rank."""
    keys = {**KILLED, "SOLVER__MAX_ITER": 4000}
    words = [*TORCHRUN, str(TOY), "1", "new", *toy_overrides(entry, tmp_path / "stopped", **keys)]
    process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for_checkpoint(process, tmp_path / "stopped")
    process.send_signal(signal.SIGTERM)
    assert sum("stopped by SIGTERM after iteration" in line for line in end_of(process)) == 1
    words = [*TORCHRUN, str(TOY), "1", "new", *toy_overrides(entry, tmp_path / "poison", TOY__POISON_ID=3)]
    process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    messages = [line for line in end_of(process) if line.startswith("engine_toy.py: rank")]
    assert messages and all("loss_box = nan" in line for line in messages)


def nothing():
    raise AssertionError("launch must refuse before")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"num_processes": 0, "device": "cpu"}, "--num-gpus 0 must be at least 1"),
        ({"machine_rank": 1, "device": "cpu"}, "--machine-rank 1 below --num-machines 1"),
        ({"num_machines": 2, "device": "cpu"}, "needs --dist-url"),
        ({"num_processes": 99, "device": "cuda"}, "add MODEL.DEVICE cpu|99 processes need one GPU each"),
    ],
)
def test_impossible_launch_is_refused(monkeypatch, keys, message):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match=message):
        launch(nothing, **keys)
