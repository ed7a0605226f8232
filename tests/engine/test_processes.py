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


@pytest.mark.slow
def test_all_processes_stop_at_a_non_finite_loss(entry, tmp_path):
    process = start(entry, tmp_path, processes=2, TOY__POISON_ID=3)
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "loss_box = nan on image" in output and "image 3 (" in output


@pytest.mark.slow
def test_torchrun(entry, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = [str(TOY), "1", "new", *toy_overrides(entry, tmp_path)]
    result = subprocess.run([*command, *script], env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "2 processes on cpu" in result.stdout


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
