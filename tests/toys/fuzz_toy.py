"""Cases of the fuzz test: a small dataset with a trained network, a damaged file in it, a command, and its judgment."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import forked_toy
from damage_toy import Damage, damage_json, damage_lines, damage_yaml
from damaged_data_toy import damage_array, damage_checkpoint, damage_image
from forked_toy import MEMORY, Outcome

BOXES, IMAGES, DEPTH = "json boxes.json", "image train/*", "image depth_train/*"
ARRAY, CONFIG, WEIGHTS = "array depth_train/*", "yaml run/config.yaml", "checkpoint run/model_final.pth"
TINY = ["MODEL.DEVICE", "cpu", "INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "96"]
NETWORK = ["--weights", "run/model_final.pth", "--set", *TINY, "MODEL.FCOS.INFERENCE_TH", "0.0"]


@dataclass(frozen=True)
class Entry:
    """A command and the files that it reads.

    Attributes:
        words: the command, relative to the folder of the case.
        reads: kind and pattern of each file that is damaged.
        strict: kinds whose unusable content must end the command with a status other than 0. Of the others, the command
            leaves the damaged file out and says so, or uses an earlier one.
        writes: folders of the case that the command may change.
    """

    words: list[str]
    reads: list[str]
    strict: frozenset[str] = frozenset({"json", "checkpoint", "yaml"})
    writes: tuple[str, ...] = ("out",)


ENTRIES = {
    "check": Entry(
        [*("check", "--data", "boxes.json", "--images", "train", "--depth", "depth_train", "--workers", "1"),
         *("--output", "out/page", "--report", "out/findings.json")],
        [BOXES, BOXES, IMAGES, DEPTH, ARRAY],
    ),
    "label": Entry(
        [*("label", "--data", "boxes.json", "--images", "train", "--depth", "depth_train"),
         *("--size", "64", "--no-mirror", "--output", "out/masks.json", "--overwrite", *NETWORK)],
        [BOXES, BOXES, IMAGES, ARRAY, WEIGHTS, WEIGHTS, CONFIG],
    ),
    "predict": Entry(
        ["predict", "train", "--output", "out/predictions", "--threshold", "0", "--classes", "boxes.json", *NETWORK],
        [IMAGES, BOXES, WEIGHTS, CONFIG],
        strict=frozenset({"checkpoint", "yaml"}),
    ),
    "train --dry-run": Entry(
        [*("train", "--data", "boxes.json", "--images", "train", "--depth", "depth_train", "--output", "out/run"),
         *("--model", "efficientnet_lite0", "--weights", "none", "--device", "cpu", "--dry-run")],
        [BOXES, BOXES, IMAGES, ARRAY],
    ),
    "train_net": Entry(
        [*("train_net.py", "--config-file", "run/config.yaml", "OUTPUT_DIR", "out/run", "SOLVER.MAX_ITER", "1"),
         *("DATASETS.TEST", "()", "MODEL.DEVICE", "cpu")],
        [CONFIG, CONFIG, BOXES, IMAGES, ARRAY],
        strict=frozenset({"yaml"}),  # boxes.json may be unused, if the config names no dataset
    ),
    "eval": Entry(
        [*("eval", "--run", "run", "--weights", "run/model_final.pth", "--data", "boxes.json", "--images", "train"),
         *("--report", "out/eval.json", "OUTPUT_DIR", "out/eval", *TINY)],
        [BOXES, BOXES, IMAGES, WEIGHTS, CONFIG],
    ),
    "report": Entry(
        ["report", "run", "--output", "out/report.html"],
        ["lines run/metrics.json", "lines run/metrics.json", "lines run/log.txt", "yaml run/config.yaml"],
        strict=frozenset(),
    ),
    "visualize": Entry(
        [*("visualize", "--config-file", "run/config.yaml", "--weights", "run/model_final.pth", "--count", "2"),
         *("--output", "out/sheet.png", *TINY)],
        [BOXES, IMAGES, ARRAY, CONFIG, WEIGHTS],
    ),
    "resume": Entry(
        [*("train_net.py", "--config-file", "run/config.yaml", "--resume", "OUTPUT_DIR", "run"),
         *("SOLVER.MAX_ITER", "7", "DATASETS.TEST", "()", "MODEL.DEVICE", "cpu")],
        [WEIGHTS, WEIGHTS, "checkpoint run/model_0000003.pth", "lines run/last_checkpoint"],
        strict=frozenset(),  # resumed from an earlier checkpoint
        writes=("out", "run"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A damaged file and the command that reads it.

    Attributes:
        seed: of the case; equal seeds give equal cases.
        entry: name of the command.
        file: damaged file, relative to the folder of the case.
        damage: its content.
        folder: folder of the case.
        before: size and time of each file before the command, by its relative path.
    """

    seed: str
    entry: str
    file: str
    damage: Damage
    folder: Path
    before: dict[str, str] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.seed}: {self.entry}, {self.file} ({self.damage.name})"


def make_base(folder: Path) -> None:
    """Write four images with boxes and depth, and train a network on them for six iterations."""
    from depthbox.data.synthetic import write_dataset

    folder.mkdir(parents=True)
    truth = Path(write_dataset(folder, 4, height=64, width=96))
    shutil.copy(truth, folder / "boxes.json")
    entry = [["tiny", "boxes.json", "train", "depth_train"]]
    keys = {
        "DATASETS.COCO_STYLE": entry, "DATASETS.TRAIN": ("tiny",), "DATASETS.TEST": ("tiny",), "SEED": 3,
        "MODEL.FPN.OUT_CHANNELS": 32, "MODEL.DEPTH.LAYER": True, "INPUT.DEPTH.ENABLED": True, "MODEL.DEVICE": "cpu",
        "SOLVER.IMS_PER_BATCH": 2, "SOLVER.REFERENCE_BATCH_SIZE": 0, "SOLVER.MAX_ITER": 6, "SOLVER.STEPS": (4,),
        "SOLVER.CHECKPOINT_PERIOD": 2, "SOLVER.WARMUP_ITERS": 2, "DATALOADER.NUM_WORKERS": 0, "TEST.EVAL_PERIOD": 0,
        "INPUT.MIN_SIZE_TRAIN": (64,), "INPUT.MAX_SIZE_TRAIN": 96, "INPUT.MIN_SIZE_TEST": 64, "INPUT.MAX_SIZE_TEST": 96,
        "REPORT.ENABLED": False, "OUTPUT_DIR": "run",
    }  # fmt: skip
    words = [str(word) for pair in keys.items() for word in pair]
    done = forked_toy.run(
        folder, ["train_net.py", "--config-file", str(forked_toy.ROOT / "tests/tiny.yaml"), *words], 300
    )
    assert done.status == 0, done.text
    (folder / ".output").unlink()
    (folder / "run" / "model_best.pth").unlink()
    (folder / "out").mkdir()
    (folder / "out" / "masks.json").write_text('{"annotations": []}')


def make_case(base: Path, folder: Path, seed: str, entry: str) -> Case:
    """Copy the base and damage one file in it."""
    rng, payload = random.Random(f"{seed}/{entry}"), "payload-ran"
    copy_base(base, folder)
    kind, pattern = rng.choice(ENTRIES[entry].reads).split()
    path = rng.choice(sorted(folder.glob(pattern)))
    data = path.read_bytes()
    path.unlink()  # it may be a link to the base
    if kind == "array":
        path = path.with_suffix(".npy")
    damage = {
        "json": lambda: damage_json(data, rng),
        "image": lambda: damage_image(data, rng),
        "array": lambda: damage_array(rng, payload),
        "checkpoint": lambda: damage_checkpoint(data, rng, payload),
        "yaml": lambda: damage_yaml(data, rng, payload),
        "lines": lambda: damage_lines(data, rng),
    }[kind]()
    path.write_bytes(damage.body)
    unusable = damage.unusable and kind in ENTRIES[entry].strict
    damage = Damage(damage.body, damage.name, unusable)
    return Case(seed, entry, str(path.relative_to(folder)), damage, folder, digest(folder))


def run_case(case: Case) -> list[str]:
    """Run the command of a case; return its faults."""
    return find_faults(case, forked_toy.run(case.folder, ENTRIES[case.entry].words))


def find_faults(case: Case, outcome: Outcome) -> list[str]:
    """List what must never happen, whatever a file contains."""
    text, status = outcome.text, outcome.status
    faults = []
    if "Traceback (most recent call last)" in text:
        faults.append(f"traceback: {_last_error(text)}")
    elif status < 0:
        faults.append(f"death by signal {-status}" if status != -24 else "no end")
    elif status not in (0, 1, 2):
        faults.append(f"exit status {status}")
    if outcome.memory > MEMORY:
        faults.append(f"{outcome.memory / 2**30:.1f} GB of memory")
    if status == 0 and case.damage.unusable:
        faults.append("exit status 0 on an unusable file")
    if "\x1b[31m" in text:
        faults.append("an escape sequence of a file reaches the terminal")
    return [*faults, *_find_lost_files(case)]


def _find_lost_files(case: Case) -> list[str]:
    after, allowed = digest(case.folder), ENTRIES[case.entry].writes
    faults = [f"created {path.name} outside" for path in case.folder.parent.glob("*.png")]
    for name in sorted(after.keys() | case.before.keys()):
        inside = name.split("/")[0] in allowed
        if name == "payload-ran":
            faults.append("code of the file ran")
        elif not inside and after.get(name) != case.before.get(name):
            faults.append(f"changed, created or removed {name}")
        elif name.endswith(".tmp") and name in after:
            faults.append(f"left {name}")
    for path in (case.folder / "out").rglob("*.json"):
        lines = path.read_text().splitlines() if path.name == "metrics.json" else [path.read_text()]
        if not all(map(_is_json, lines)):
            faults.append(f"half-written {path.name}")
    if not (case.folder / "out" / "masks.json").is_file():
        faults.append("lost an earlier result")
    return faults


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def copy_base(base: Path, folder: Path) -> None:
    """Copy the base; checkpoints, which commands replace but never change in place, are linked."""

    def copy(source: str, target: str) -> object:
        return (os.link if source.endswith(".pth") else shutil.copy2)(source, target)

    shutil.copytree(base, folder, copy_function=copy)


def digest(folder: Path) -> dict[str, str]:
    """Return size and time of change of each file below a folder, by its relative path, without the printed output."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".output"]
    states = {path.relative_to(folder).as_posix(): path.stat() for path in paths}
    return {name: f"{state.st_size} {state.st_mtime_ns}" for name, state in states.items()}


def _last_error(text: str) -> str:
    """Return the last exception of a text and the innermost line of the project in its traceback."""
    last = text.rsplit("Traceback (most recent call last)", 1)[1]
    places = re.findall(r'File "[^"]*?((?:depthbox|tools)/[\w/]+\.py)", line (\d+)', last)
    errors = re.findall(r"^[\w.]+(?:Error|Exception|Interrupt)\b.*$", last, flags=re.MULTILINE)
    return f"{(errors or ['?'])[-1]:.150} at {':'.join(places[-1]) if places else '?'}"
