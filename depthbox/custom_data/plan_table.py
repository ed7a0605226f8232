"""Table of a planned training run, shown before it starts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from detectron2.config import CfgNode

from .plan import OwnRun
from .prepare import PreparedData

WIDTH = 79
_NAME, _VALUE = 10, 42


Row = tuple[str, str, str]  # name, planned value, option that changes it


def format_plan(run: OwnRun) -> str:
    """Format the plan of a run and the options that change it, in at most 79 columns."""
    return format_rows([*_data_rows(run), *schedule_rows(run), *_output_rows(run)])


def format_rows(rows: Sequence[Row]) -> str:
    """Format rows under a heading, in at most 79 columns."""
    lines = [f"{'':{_NAME}}{'planned':{_VALUE}}to change it", "-" * WIDTH]
    for name, value, option in rows:
        left = textwrap.wrap(value, _VALUE - 2) or [""]
        right = textwrap.wrap(option, WIDTH - _NAME - _VALUE, break_on_hyphens=False)
        for row in range(max(len(left), len(right))):
            cells = [part[row] if row < len(part) else "" for part in ([name], left, right)]
            lines.append(f"{cells[0]:{_NAME}}{cells[1]:{_VALUE}}{cells[2]}".rstrip())
    return "\n".join(lines)


def _data_rows(run: OwnRun) -> list[Row]:
    about = {"boxinst": "boxinst: boxes and color", "depthbox": "depthbox: boxes, color, depth, EMA teacher"}
    return [
        ("data", f"{run.data.train.annotated} images with {run.data.train.objects} objects", "--data, --images"),
        ("classes", format_classes(run.data), "the annotations"),
        ("test on", format_validation(run.data), "--val-data, --val-share"),
        ("method", about[run.method], "--method, --depth"),
        ("network", format_network(run), "--model, --weights"),
        ("device", run.cfg.MODEL.DEVICE, "--device, --num-gpus"),
    ]


def format_classes(data: PreparedData) -> str:
    """Format the number of classes and the first of them."""
    return f"{len(data.classes)}: {', '.join(data.classes[:4])}" + (", ..." if len(data.classes) > 4 else "")


def format_validation(data: PreparedData) -> str:
    """Format the validation images and their metrics."""
    if not data.val:
        return "nothing"
    metrics = "box AP and mask AP" if data.val.masks else "box AP only (no ground-truth masks)"
    return f"{data.val.count} images: {metrics}"


def format_network(run: OwnRun) -> str:
    """Format the network and its initial weights."""
    cfg = run.cfg
    weights = cfg.MODEL.WEIGHTS or cfg.MODEL.TIMM.WEIGHTS or ("timm's" if cfg.MODEL.TIMM.PRETRAINED else "")
    start = f"from {Path(weights).name}" if weights else "from random weights: slower, less accurate"
    return f"{run.model.name} {start}"


def schedule_rows(run: OwnRun) -> list[Row]:
    """Return the rows of batch size, input and schedule, and the start of the losses."""
    cfg = run.cfg
    rows = [*length_rows(run), ("", f"warm-up {cfg.SOLVER.WARMUP_ITERS:,}, {_format_steps(cfg)}", "SOLVER.STEPS")]
    if cfg.MODEL.MASK_SUPERVISION != "mask":
        start = cfg.MODEL.BOXINST.PAIRWISE.WARMUP_ITERS
        rows.append(("masks", f"color loss at full weight from {start:,}", "MODEL.BOXINST.PAIRWISE"))
    if cfg.MODEL.DISTILL.ENABLED:
        rows += [
            ("depth", f"loss at full weight from {cfg.MODEL.DEPTH.WARMUP_ITERS:,}", "MODEL.DEPTH"),
            ("teacher", f"starts at {cfg.MODEL.DISTILL.START_ITER:,}", "MODEL.DISTILL"),
        ]
    return rows


def length_rows(run: OwnRun) -> list[Row]:
    """Return the rows of batch size, input, length and learning rate."""
    cfg, solver = run.cfg, run.cfg.SOLVER
    epochs = solver.MAX_ITER * solver.IMS_PER_BATCH / run.data.train.annotated
    sizes = cfg.INPUT.MIN_SIZE_TRAIN
    return [
        ("batch", f"{solver.IMS_PER_BATCH} images", "--batch-size"),
        ("input", f"short side {min(sizes)} to {max(sizes)} pixels", "--size"),
        *_crop_rows(cfg),
        ("length", f"{solver.MAX_ITER:,} iterations, {epochs:.1f} epochs", "--iterations, --epochs"),
        ("rate", f"{solver.BASE_LR:g} ({solver.OPTIMIZER})", "SOLVER.BASE_LR"),
    ]


def format_period(run: OwnRun) -> str:
    """Format how often the network is evaluated."""
    period = run.cfg.TEST.EVAL_PERIOD
    often = f"every {period:,} iterations" if period else "at the end"
    return often if run.cfg.DATASETS.TEST else "never"


def _output_rows(run: OwnRun) -> list[Row]:
    return [("tested", format_period(run), "TEST.EVAL_PERIOD"), ("output", str(run.cfg.OUTPUT_DIR), "--output")]


def _format_steps(cfg: CfgNode) -> str:
    return f"divided by 10 at {' and '.join(f'{step:,}' for step in cfg.SOLVER.STEPS)}"


def _crop_rows(cfg: CfgNode) -> list[Row]:
    crop = cfg.INPUT.CROP
    if not crop.ENABLED:
        return []
    reason = "" if cfg.MODEL.META_ARCHITECTURE == "P2Seg" else " (small objects)"
    text = f"crops of {100 * crop.SIZE[0]:.0f} %{reason}; test size {cfg.INPUT.MIN_SIZE_TEST}"
    return [("", text, "INPUT.CROP.ENABLED")]
