"""Table of a planned run in two stages, shown before it starts."""

from __future__ import annotations

from ..plan_table import (
    Row,
    format_classes,
    format_network,
    format_period,
    format_rows,
    format_validation,
    length_rows,
    schedule_rows,
)
from ..split import KindCounts
from .plan import StagedRun

_KINDS = {"point": "points", "box": "boxes", "mask": "masks"}
_SOURCES = {
    "auto": "threshold or geodesic, by the images",
    "files": "PNG files",
    "threshold": "threshold on the color",
    "geodesic": "geodesic distance from the points",
    "points": "learned from the points",
}


def format_staged_plan(run: StagedRun) -> str:
    """Format the plan of both stages and the options that change it, in at most 79 columns."""
    rows = _data_rows(run)
    if "a" in run.stages:
        rows += _labeler_rows(run)
    labels = f"{run.request.data.train.kinds.point:,} masks in {run.labels}"
    rows.append(("labels", labels if "a" in run.stages else f"read from {run.labels}", "--stage a"))
    if "b" in run.stages:
        rows += _segmentor_rows(run)
    return format_rows(rows)


def _data_rows(run: StagedRun) -> list[Row]:
    data = run.request.data
    objects = f"{data.train.annotated} images with {data.train.objects} objects: {_format_kinds(data.train.kinds)}"
    validation = format_validation(data) if data.val else "nothing: points are not a ground truth"
    return [
        ("data", objects, "--data, --images"),
        ("classes", format_classes(data), "the annotations"),
        ("test on", validation, "--val-data with masks"),
        ("method", "p2seg: points become masks (A), masks train a network (B)", "--method, --stage"),
        ("device", run.request.device, "--device, --num-gpus"),
    ]


def _labeler_rows(run: StagedRun) -> list[Row]:
    labeler, cfg = run.labeler, run.labeler.cfg
    tested = f"pseudo masks, {format_period(labeler)}" if cfg.DATASETS.TEST else "never"
    return [
        ("stage A", "masks of the points", ""),
        ("network", format_network(labeler), "--model, --weights"),
        ("class map", _format_class_map(run), "--class-maps, --depth"),
        *length_rows(labeler),
        ("", f"warm-up {cfg.SOLVER.WARMUP_ITERS:,}, then falling to 0", "SOLVER.POLY_POWER"),
        ("tested", tested, "A.TEST.EVAL_PERIOD"),
        ("output", str(cfg.OUTPUT_DIR), "--output"),
    ]


def _segmentor_rows(run: StagedRun) -> list[Row]:
    segmentor, cfg = run.segmentor, run.segmentor.cfg
    learned = "from the masks" + (" and boxes" if cfg.MODEL.MASK_SUPERVISION == "mixed" else "")
    rows = [
        ("stage B", f"network for new images, trained {learned}", ""),
        ("network", format_network(segmentor), "--model, --weights"),
        *schedule_rows(segmentor),
        ("tested", format_period(segmentor), "B.TEST.EVAL_PERIOD"),
        ("output", str(cfg.OUTPUT_DIR), "--output"),
    ]
    if not run.has_labels:
        rows.insert(4, ("", "crops, if the masks of A are small", "B.INPUT.CROP.ENABLED"))
    return rows


def _format_class_map(run: StagedRun) -> str:
    node, maps = run.labeler.cfg.MODEL.P2SEG.SEMANTIC, run.request.training.own.class_maps
    source = f"{_SOURCES[node.SOURCE]}" + (f" in {maps}" if maps is not None and node.SOURCE == "files" else "")
    return source + (", with depth" if node.DEPTH else "")


def _format_kinds(kinds: KindCounts) -> str:
    counts = {words: getattr(kinds, name) for name, words in _KINDS.items()}
    return ", ".join(f"{count} {words}" for words, count in counts.items() if count)
