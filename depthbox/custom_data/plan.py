"""From "these are my boxes" to the config of a training, and the table that is shown before it starts."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode

from ..config.defaults import add_depthbox_config
from ..config.loading import ConfigError, load_config
from ..engine.schedule import scale_schedule
from .models import ModelChoice, choose_model, weight_keys
from .prepare import OwnData, Prepared, prepare
from .recipe import LONGEST, SIZE_CPU, SIZE_GPU, Facts, choose_batch, make_recipe, overrides

METHODS = ("boxinst", "depthbox")
WIDTH = 79
_NAME, _VALUE = 10, 42


@dataclass(frozen=True)
class OwnTraining:
    """What the user asks for; "", 0 and None mean: by rule.

    Attributes:
        own: the data.
        output: folder of the run.
        model, weights: see ``recipe_models``.
        method: "boxinst" or "depthbox"; "" = depthbox where there is depth.
        device: "cuda" or "cpu"; "" = cuda where there is one.
        batch, size, epochs, iterations: see ``recipe.Facts``.
        processes: of the training, on all machines.
    """

    own: OwnData
    output: str
    model: str = ""
    weights: str = ""
    method: str = ""
    device: str = ""
    batch: int = 0
    size: int = 0
    epochs: float = 0
    iterations: int = 0
    processes: int = 1


@dataclass(frozen=True)
class OwnRun:
    """The frozen config of a training, and what it came from."""

    cfg: CfgNode
    data: Prepared
    model: ModelChoice
    method: str


def configure_own(training: OwnTraining, words: Sequence[str] = (), *, check: bool = True) -> OwnRun:
    """Prepare the data and make the config.

    Args:
        training: what is asked for.
        words: KEY VALUE KEY VALUE..., which win over all rules. The rules follow those of device, batch, number of
            iterations, seed and output folder.
        check: whether to look for errors in the data first.

    Raises:
        ConfigError: options that do not fit each other.
        ValueError, OSError: see ``own_data.prepare``.
    """
    own = training.own
    load_config(add_depthbox_config, overrides=words)  # mistakes in them come before minutes of reading
    told = dict(zip(words[::2], words[1::2], strict=True))
    device = choose_device(told.get("MODEL.DEVICE", training.device))
    method = choose_method(training.method, own.depth is not None)
    model = choose_model(training.model, device)
    weights = weight_keys(model, training.weights)
    output = told.get("OUTPUT_DIR", training.output)
    limit = training.size or (SIZE_CPU if device == "cpu" else SIZE_GPU)
    data = prepare(own, Path(output), check=check, min_size=limit, max_size=round(limit * LONGEST))
    facts = _facts(training, data, model, device, told)
    recipe = make_recipe(facts, model, depth=method == "depthbox")
    keys = {
        **model.keys,
        **recipe,
        **weights,
        **data_keys(own, data, Path(output).name),
        "OUTPUT_DIR": output,
        "SEED": own.seed,
    }
    cfg = load_config(add_depthbox_config, overrides=[*overrides(keys), *words])
    return OwnRun(scale_schedule(cfg), data, model, method)


def _facts(training: OwnTraining, data: Prepared, model: ModelChoice, device: str, told: Mapping[str, str]) -> Facts:
    batch = int(told.get("SOLVER.IMS_PER_BATCH", 0)) or training.batch
    memory, images = gpu_gigabytes(device), data.train.annotated
    return Facts(
        images=images,
        val_images=data.val.count if data.val else 0,
        short_side=data.short_side,
        object_share=data.object_share,
        device=device,
        batch=batch or choose_batch(model, device, memory, training.processes, images),
        cores=os.cpu_count() or 1,
        processes=training.processes,
        size=training.size,
        iterations=int(told.get("SOLVER.MAX_ITER", 0)) or training.iterations,
        epochs=training.epochs,
    )


def choose_device(device: str) -> str:
    """The device that is named; "" or "auto" = a GPU where one is usable, else the CPU."""
    if device not in ("", "auto"):
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_method(method: str, depth: bool) -> str:
    """The method that is named; "" = the whole method where there is depth, else BoxInst.

    Raises:
        ConfigError: an unknown one, or the whole method without depth.
    """
    method = method or ("depthbox" if depth else "boxinst")
    if method not in METHODS:
        raise ConfigError(f"--method is {' or '.join(METHODS)}, not '{method}'")
    if method == "depthbox" and not depth:
        raise ConfigError("--method depthbox learns from depth maps: make them with depthbox depth and give --depth")
    return method


def gpu_gigabytes(device: str) -> float:
    """Memory of the GPU, 0 on the CPU."""
    if device == "cpu" or not torch.cuda.is_available():
        return 0.0
    return torch.cuda.get_device_properties(torch.device(device)).total_memory / 2**30


def data_keys(own: OwnData, data: Prepared, name: str) -> dict[str, Any]:
    """The keys of the config that name the data sets (NAME_train, NAME_val) and their classes."""
    depth = "" if own.depth is None else os.path.abspath(own.depth)
    train, val = f"{name}_train", f"{name}_val"
    sets = [(train, data.train, depth)] + ([(val, data.val, "")] if data.val else [])
    return {
        "DATASETS.COCO_STYLE": [[key, str(part.json_file), str(part.images), place] for key, part, place in sets],
        "DATASETS.TRAIN": (train,),
        "DATASETS.TEST": (val,) if data.val else (),
        "MODEL.FCOS.NUM_CLASSES": len(data.classes),
    }


def table(run: OwnRun) -> str:
    """What is going to happen and how to change it, at most 79 columns."""
    lines = [f"{'':{_NAME}}{'as it will be':{_VALUE}}to change it", "-" * WIDTH]
    for name, value, option in [*_data_rows(run), *_schedule_rows(run)]:
        left = textwrap.wrap(value, _VALUE - 2) or [""]
        right = textwrap.wrap(option, WIDTH - _NAME - _VALUE, break_on_hyphens=False)
        for row in range(max(len(left), len(right))):
            cells = [part[row] if row < len(part) else "" for part in ([name], left, right)]
            lines.append(f"{cells[0]:{_NAME}}{cells[1]:{_VALUE}}{cells[2]}".rstrip())
    return "\n".join(lines)


def _data_rows(run: OwnRun) -> list[tuple[str, str, str]]:
    data, cfg = run.data, run.cfg
    classes = ", ".join(data.classes[:4]) + (", ..." if len(data.classes) > 4 else "")
    validate = "nothing: only the end of the training tells"
    if data.val:
        what = "box AP and mask AP" if data.val.masks else "box AP alone, as there are no true masks"
        validate = f"{data.val.count} images: {what}"
    weights = cfg.MODEL.WEIGHTS or cfg.MODEL.TIMM.WEIGHTS or ("timm's" if cfg.MODEL.TIMM.PRETRAINED else "")
    start = f"from {Path(weights).name}" if weights else "from random weights: takes far longer, ends lower"
    about = {"boxinst": "boxinst: boxes and colours", "depthbox": "depthbox: boxes, colours, depth and a teacher"}
    return [
        ("data", f"{data.train.annotated} images with {data.train.objects} objects", "--data, --images"),
        ("classes", f"{len(data.classes)}: {classes}", "the json"),
        ("test on", validate, "--val-data, --val-share"),
        ("method", about[run.method], "--method, --depth"),
        ("network", f"{run.model.name} {start}", "--model, --weights"),
        ("device", cfg.MODEL.DEVICE, "--device, --num-gpus"),
    ]


def _schedule_rows(run: OwnRun) -> list[tuple[str, str, str]]:
    cfg, solver = run.cfg, run.cfg.SOLVER
    epochs = solver.MAX_ITER * solver.IMS_PER_BATCH / run.data.train.annotated
    sizes, period = cfg.INPUT.MIN_SIZE_TRAIN, cfg.TEST.EVAL_PERIOD
    steps = " and ".join(f"{step:,}" for step in solver.STEPS)
    often = f"every {period:,} iterations" if period else "at the end"
    rows = [
        ("batch", f"{solver.IMS_PER_BATCH} images", "--batch-size"),
        ("input", f"short side {min(sizes)} to {max(sizes)} pixels", "--size"),
        *_crop_rows(cfg),
        ("length", f"{solver.MAX_ITER:,} iterations, {epochs:.1f} epochs", "--iterations, --epochs"),
        ("rate", f"{solver.BASE_LR:g} ({solver.OPTIMIZER})", "SOLVER.BASE_LR"),
        ("", f"warm-up {solver.WARMUP_ITERS:,}, divided by 10 at {steps}", "SOLVER.STEPS"),
        (
            "masks",
            f"colours count in full from {cfg.MODEL.BOXINST.PAIRWISE.WARMUP_ITERS:,} on",
            "MODEL.BOXINST.PAIRWISE",
        ),
    ]
    if run.method == "depthbox":
        rows += [
            ("depth", f"counts in full from {cfg.MODEL.DEPTH.WARMUP_ITERS:,} on", "MODEL.DEPTH"),
            ("teacher", f"begins at {cfg.MODEL.DISTILL.START_ITER:,}", "MODEL.DISTILL"),
        ]
    tested = often if run.data.val else "never"
    return [*rows, ("tested", tested, "TEST.EVAL_PERIOD"), ("output", str(cfg.OUTPUT_DIR), "--output")]


def _crop_rows(cfg: CfgNode) -> list[tuple[str, str, str]]:
    if not cfg.INPUT.CROP.ENABLED:
        return []
    text = f"crops of {100 * cfg.INPUT.CROP.SIZE[0]:.0f} %, as objects are small; tests at {cfg.INPUT.MIN_SIZE_TEST}"
    return [("", text, "INPUT.CROP.ENABLED")]
