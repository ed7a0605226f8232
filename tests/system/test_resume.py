"""Training with tools/train_net.py: killed at a random moment, and resumed bit for bit."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.data.synthetic.write import write_dataset

ROOT = Path(__file__).resolve().parents[2]
ITERATIONS = 24


def command(data: Path, output: Path, processes: int, *more: str) -> list[str]:
    entry = [["tiny", f"{data}/instances_train.json", f"{data}/train", f"{data}/depth_train"]]
    return [
        *(sys.executable, str(ROOT / "tools" / "train_net.py")),
        *("--config-file", str(ROOT / "tests" / "tiny.yaml")),
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
    """Start a process group, and kill it at a random moment after the first checkpoint."""
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
    assert not (folder / "model_final.pth").exists(), "the process was killed too late for this test"
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


DISTILL = [
    *("INPUT.DEPTH.ENABLED", "True", "MODEL.DEPTH.LAYER", "True", "MODEL.DEPTH.CONSISTENCY", "True"),
    *("MODEL.DISTILL.ENABLED", "True", "MODEL.DISTILL.START_ITER", "10", "MODEL.DISTILL.SCORE_THRESH", "0.1"),
    *("MODEL.DISTILL.TEACHER_MIN_SIZE", "128", "MODEL.DISTILL.TEACHER_MAX_SIZE", "256"),
    *("MODEL.DISTILL.EMA_MOMENTUM", "0.9", "MODEL.FCOS.INFERENCE_TH", "0.0"),
]


def weights_with_masks(folder: Path) -> Path:
    """Write initial weights whose masks are not empty, so that the teacher generates pseudo masks."""
    words = ["MODEL.FPN.OUT_CHANNELS", "32", "INPUT.DEPTH.ENABLED", "True", "MODEL.DEPTH.LAYER", "True"]
    network = build_model(load_config(add_depthbox_config, str(ROOT / "tests" / "tiny.yaml"), words))
    network.controller.bias.data[network.mask_head.num_mask_params - 1] = 2.0
    torch.save({"model": network.state_dict()}, folder / "start.pth")
    return folder / "start.pth"


def final_state(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of student and teacher after the last iteration."""
    state = torch.load(folder / "model_final.pth", weights_only=True)
    teacher = state["trainer"]["hooks"]["SelfDistillation"]["teacher"]
    return {**state["model"], **{f"teacher.{name}": value for name, value in teacher.items()}}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_distillation_resumes_before_at_and_after_its_start(processes: int, tmp_path: Path) -> None:
    """Resume from the checkpoints after 5 (before START_ITER = 10), 10 (at) and 15 iterations (after)."""
    write_dataset(tmp_path / "data", 12, height=96, width=128, split="train")
    words = command(tmp_path / "data", tmp_path / "whole", processes)
    start = ["MODEL.WEIGHTS", str(weights_with_masks(tmp_path))]
    output = run([*words, *DISTILL, *start, "SOLVER.KEEP_CHECKPOINTS", "10"])
    assert "Iteration 10: the EMA teacher starts to label the batches" in output
    whole = final_state(tmp_path / "whole")
    assert any(not torch.equal(whole[name], whole[f"teacher.{name}"]) for name in whole if f"teacher.{name}" in whole)
    metrics = [json.loads(line) for line in (tmp_path / "whole" / "metrics.json").read_text().splitlines()]
    assert metrics[-1]["distill/matched"] > 0 and metrics[-1]["teacher_time"] > 0
    assert max(line["loss_pseudo_mask"] for line in metrics) > 0
    for done in (5, 10, 15):
        folder = tmp_path / f"from_{done}"
        folder.mkdir()
        name = f"model_{done - 1:07d}.pth"
        shutil.copy(tmp_path / "whole" / name, folder / name)
        (folder / "last_checkpoint").write_text(name)
        run([*command(tmp_path / "data", folder, processes, "--resume"), *DISTILL, *start])
        resumed = final_state(folder)
        assert [key for key in whole if not torch.equal(whole[key], resumed[key])] == [], f"from iteration {done}"


@pytest.mark.slow
def test_checkpoints_with_and_without_teacher(tmp_path: Path) -> None:
    """Each kind is loaded if the other one is expected, with a message."""
    data = tmp_path / "data"
    write_dataset(data, 12, height=96, width=128, split="train")
    plain = [word if word != "True" or DISTILL[n - 1] != "MODEL.DISTILL.ENABLED" else "False"
             for n, word in enumerate(DISTILL)]  # fmt: skip
    for name, first, second, message in (
        ("gained", plain, DISTILL, "The checkpoint holds no teacher although MODEL.DISTILL.START_ITER = 10 has passed"),
        ("lost", DISTILL, plain, "holds a teacher, but MODEL.DISTILL.ENABLED is False"),
    ):
        folder = tmp_path / name
        run([*command(data, folder, 1), *first, "SOLVER.KEEP_CHECKPOINTS", "10"])
        for file in ("model_final.pth", "model_0000019.pth"):
            (folder / file).unlink()
        (folder / "last_checkpoint").write_text("model_0000014.pth")
        output = run([*command(data, folder, 1, "--resume"), *second])
        assert message in " ".join(output.split()), output
        assert (folder / "model_final.pth").is_file()
