"""Table of a planned training run, shown before it starts."""

from __future__ import annotations

import textwrap
from pathlib import Path

from detectron2.config import CfgNode

from .plan import OwnRun

WIDTH = 79
_NAME, _VALUE = 10, 42


def format_plan(run: OwnRun) -> str:
    """Format the plan of a run and the options that change it, in at most 79 columns."""
    lines = [f"{'':{_NAME}}{'planned':{_VALUE}}to change it", "-" * WIDTH]
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
    validate = "nothing"
    if data.val:
        metrics = "box AP and mask AP" if data.val.masks else "box AP only (no ground-truth masks)"
        validate = f"{data.val.count} images: {metrics}"
    weights = cfg.MODEL.WEIGHTS or cfg.MODEL.TIMM.WEIGHTS or ("timm's" if cfg.MODEL.TIMM.PRETRAINED else "")
    start = f"from {Path(weights).name}" if weights else "from random weights: slower, less accurate"
    about = {"boxinst": "boxinst: boxes and color", "depthbox": "depthbox: boxes, color, depth, EMA teacher"}
    return [
        ("data", f"{data.train.annotated} images with {data.train.objects} objects", "--data, --images"),
        ("classes", f"{len(data.classes)}: {classes}", "the annotations"),
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
            f"color loss at full weight from {cfg.MODEL.BOXINST.PAIRWISE.WARMUP_ITERS:,}",
            "MODEL.BOXINST.PAIRWISE",
        ),
    ]
    if run.method == "depthbox":
        rows += [
            ("depth", f"loss at full weight from {cfg.MODEL.DEPTH.WARMUP_ITERS:,}", "MODEL.DEPTH"),
            ("teacher", f"starts at {cfg.MODEL.DISTILL.START_ITER:,}", "MODEL.DISTILL"),
        ]
    tested = often if run.data.val else "never"
    return [*rows, ("tested", tested, "TEST.EVAL_PERIOD"), ("output", str(cfg.OUTPUT_DIR), "--output")]


def _crop_rows(cfg: CfgNode) -> list[tuple[str, str, str]]:
    if not cfg.INPUT.CROP.ENABLED:
        return []
    text = f"crops of {100 * cfg.INPUT.CROP.SIZE[0]:.0f} % (small objects); test size {cfg.INPUT.MIN_SIZE_TEST}"
    return [("", text, "INPUT.CROP.ENABLED")]
