"""Killed programs: the same command, given again, ends with 0 and with the result of a run that was never killed."""

import hashlib
import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked_toy
import pytest
import torch
from forked_toy import ROOT
from fuzz_toy import NETWORK, copy_base
from pseudo_depth_toy import save_model

pytestmark = pytest.mark.slow
KILLS = {"training": 6, "label": 4, "depth": 4, "predict": 4, "export": 2}  # an export takes a minute
TRAINING = {
    "DATASETS.COCO_STYLE": [["tiny", "boxes.json", "train", "depth_train"]], "DATASETS.TRAIN": ("tiny",), "SEED": 3,
    "DATASETS.TEST": ("tiny",), "TEST.EVAL_PERIOD": 5, "MODEL.FPN.OUT_CHANNELS": 32, "MODEL.DEVICE": "cpu",
    "SOLVER.IMS_PER_BATCH": 2, "SOLVER.REFERENCE_BATCH_SIZE": 0, "SOLVER.MAX_ITER": 12, "SOLVER.STEPS": (8,),
    "SOLVER.CHECKPOINT_PERIOD": 3, "SOLVER.WARMUP_ITERS": 4, "DATALOADER.NUM_WORKERS": 1, "REPORT.ENABLED": False,
    "INPUT.MIN_SIZE_TRAIN": (48, 64), "INPUT.MAX_SIZE_TRAIN": 96, "INPUT.MIN_SIZE_TEST": 64, "INPUT.MAX_SIZE_TEST": 96,
    "INPUT.DEPTH.ENABLED": True, "MODEL.DEPTH.LAYER": True, "MODEL.DEPTH.CONSISTENCY": True, "OUTPUT_DIR": "out/run",
    "MODEL.DISTILL.ENABLED": True, "MODEL.DISTILL.START_ITER": 5, "MODEL.DISTILL.SCORE_THRESH": 0.0,
    "MODEL.DISTILL.TEACHER_MIN_SIZE": 64, "MODEL.DISTILL.TEACHER_MAX_SIZE": 96, "MODEL.FCOS.INFERENCE_TH": 0.0,
}  # fmt: skip
TRAIN = ["train_net.py", "--config-file", str(ROOT / "tests/tiny.yaml")]
PROGRAMS = {
    "training": [*TRAIN, *(str(word) for pair in TRAINING.items() for word in pair)],
    "label": [*("label", "--data", "boxes.json", "--images", "train", "--output", "out/labels.json"), *NETWORK],
    "depth": [*("depth", "--images", "train", "--data", "boxes.json", "--output", "out/depth", "--model", "dpt"),
              *("--device", "cpu", "--threads", "1", "--batch-size", "1")],
    "predict": ["predict", "train", "--output", "out/predictions", "--threshold", "0", "--cutouts", *NETWORK],
    "export": ["export", "--output", "out/network.onnx", "--fixed-size", "64", "96", *NETWORK],
}  # fmt: skip
TIMES = ("time", "eta", "memory", "seconds", "rank_data")  # parts of the names of numbers that differ by nature


@dataclass(frozen=True)
class Whole:
    """A run that was never killed.

    Attributes:
        results: what it has written, see ``list_results``.
        seconds: its duration.
    """

    results: dict[str, str]
    seconds: float


def again(program: str) -> list[str]:
    """Return the command that continues a killed run."""
    words = PROGRAMS[program]
    return [*words[:3], "--resume", *words[3:]] if program == "training" else words


def list_results(folder: Path) -> dict[str, str]:
    """Return what must be equal: all tensors and states of checkpoints, metrics, and the bytes of other files."""
    results: dict[str, str] = {}
    for path in sorted((folder / "out").rglob("*")):
        name = path.relative_to(folder / "out").as_posix()
        if path.suffix == ".pth":
            state = torch.load(path, map_location="cpu", weights_only=True)
            results.update(flatten({key: value for key, value in state.items() if key != "config"}, name))
        elif path.name == "metrics.json":
            for number, line in enumerate(path.read_text().splitlines()):
                results.update(flatten(json.loads(line), f"{name}:{number}"))
        elif path.is_file() and not any(part in name for part in ("log.txt", "run.json", "tfevents", "inference/")):
            results[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {name: value for name, value in results.items() if not any(part in name for part in TIMES)}


def flatten(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of each number, text and tensor of nested dicts and lists."""
    if isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flatten(item, f"{name}/{key}")
    elif isinstance(value, torch.Tensor):
        yield name, hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()
    else:
        yield name, repr(value)


@pytest.fixture
def fresh(base: Path, tmp_path: Path) -> Path:
    """Return a folder with the base, a depth network and an empty ``out``."""
    folder = tmp_path / "case"
    copy_base(base, folder)
    (folder / "out" / "masks.json").unlink()
    save_model(folder / "dpt", "dpt")
    return folder


@pytest.mark.parametrize("program", KILLS)
def test_a_killed_program_continues_to_the_same_result(fresh: Path, tmp_path: Path, program: str) -> None:
    seed = os.environ.get("DEPTHBOX_FUZZ_SEED") or str(random.SystemRandom().randrange(10**6))
    whole = run_whole(fresh, tmp_path / "whole", program)
    rng, kills, failures = random.Random(f"{seed}/{program}"), 0, []
    while kills < KILLS[program]:
        folder = tmp_path / f"killed{kills}"
        copy_base(fresh, folder)
        words, moments = PROGRAMS[program], []
        for _ in range(rng.randint(1, KILLS[program] - kills)):
            moments.append(rng.uniform(0.1, 0.95) * whole.seconds)
            if not kill_after(folder, words, moments[-1]):
                break
            kills, words = kills + 1, again(program)
        done = forked_toy.run(folder, again(program), 300)
        found = list_results(folder)
        different = sorted(name for name in whole.results | found if whole.results.get(name) != found.get(name))
        if done.status or different:
            when = ", ".join(f"{moment:.2f}" for moment in moments)
            failures.append(
                f"killed after {when} s: status {done.status}, different: {different[:5]}\n{done.text[-500:]}"
            )
    assert not failures, f"DEPTHBOX_FUZZ_SEED={seed}\n" + "\n".join(failures)


def run_whole(fresh: Path, folder: Path, program: str) -> Whole:
    copy_base(fresh, folder)
    start = time.monotonic()
    done = forked_toy.run(folder, PROGRAMS[program], 300)
    seconds = time.monotonic() - start
    assert done.status == 0, done.text
    results = list_results(folder)
    assert len(results) > 0
    once_more = forked_toy.run(folder, again(program), 300)
    assert once_more.status == 0, f"a finished {program} is not recognized:\n{once_more.text}"
    assert list_results(folder) == results
    return Whole(results, seconds)


def kill_after(folder: Path, words: list[str], seconds: float) -> bool:
    """Start a command and kill it after some time; return False if it has ended before."""
    process, _ = forked_toy.start(folder, words, 300)
    process.join(seconds)
    ended = process.exitcode is not None
    forked_toy.kill(process)
    return not ended
