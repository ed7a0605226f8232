"""The real network through tools/train_net.py: killed at a random moment and resumed, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from depthbox.data.synthetic import write_dataset

ROOT = Path(__file__).resolve().parents[2]
ITERATIONS = 24


def command(data: Path, output: Path, processes: int, *more: str) -> list[str]:
    entry = [["tiny", f"{data}/instances_train.json", f"{data}/train", f"{data}/depth_train"]]
    return [
        *(sys.executable, str(ROOT / "tools" / "train_net.py")),
        *("--config-file", str(ROOT / "configs" / "synthetic" / "boxinst_tiny.yaml")),
        *("--num-gpus", str(processes), *more),
        *("DATASETS.COCO_STYLE", repr(entry), "DATASETS.TRAIN", "('tiny',)", "DATASETS.TEST", "()"),
        *("MODEL.FPN.OUT_CHANNELS", "32", "MODEL.BOXINST.PAIRWISE.WARMUP_ITERS", "12", "SEED", "3"),
        *("SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", str(ITERATIONS), "SOLVER.STEPS", "(14, 20)"),
        *("SOLVER.CHECKPOINT_PERIOD", "5", "SOLVER.WARMUP_ITERS", "8", "OUTPUT_DIR", str(output)),
    ]


def run(words: list[str]) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def kill_at_random(words: list[str], folder: Path) -> float:
    """Start, and kill the whole group at a random moment after the first checkpoint."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=ROOT
    )
    deadline = time.monotonic() + 300
    while not list(folder.glob("model_*.pth")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    delay = random.SystemRandom().random()
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "model_final.pth").exists(), "it was killed too late to show anything"
    return delay


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_resumed_equals_uninterrupted(processes: int, tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 12, height=96, width=128, split="train")
    run(command(tmp_path / "data", tmp_path / "whole", processes))
    words = command(tmp_path / "data", tmp_path / "killed", processes)
    delay = kill_at_random(words, tmp_path / "killed")
    output = run(command(tmp_path / "data", tmp_path / "killed", processes, "--resume"))
    assert "Resuming from" in output
    whole, resumed = (
        torch.load(tmp_path / name / "model_final.pth", weights_only=True)["model"] for name in ("whole", "killed")
    )
    different = [key for key in whole if not torch.equal(whole[key], resumed[key])]
    assert different == [], f"killed {delay:.3f} s after the first checkpoint"
    assert any("controller" in key for key in whole)
