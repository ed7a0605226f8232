"""Demo: make synthetic scenes, train a small network on their boxes, evaluate and draw its masks."""

from __future__ import annotations

import json
import logging
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import detectron2
import torch
from detectron2.config import CfgNode

from ..checkpoint.run_files import FINAL
from ..config.defaults import add_depthbox_config
from ..config.loading import load_config
from ..data.loader import load_records
from ..data.synthetic.write import CLASS_NAMES, GENERATOR_VERSION, write_dataset
from ..engine.run import run
from ..inference.predictor import load_predictor
from ..io.files import atomic_open
from ..io.untrusted.json_files import read_json
from ..visualization import DatasetSheet, choose_records, make_sheet, save_sheet

TRAIN_IMAGES, VAL_IMAGES = 1500, 100
HEIGHT, WIDTH = 160, 224
QUICK_TRAIN_IMAGES, QUICK_VAL_IMAGES, QUICK_ITERATIONS = 8, 4, 4
SHEET_IMAGES, SHEET_COLUMNS = 16, 4
SHEET_SCORE = 0.4

_NOTE = "demo.json"
_SUMMARY, _SHEET = "summary.json", "masks.png"
_MADE = ("data", "train", _SUMMARY, _SHEET)


@dataclass(frozen=True)
class DemoSettings:
    """Settings of a demo.

    Attributes:
        config_file: config of the training run.
        train_images, val_images: number of scenes of each split.
        height, width: size of the scenes in pixels.
        iterations: length of the training run; 0 = that of the config.
        seed: seed of the scenes and of the training run, >= 0.
    """

    config_file: str
    train_images: int = TRAIN_IMAGES
    val_images: int = VAL_IMAGES
    height: int = HEIGHT
    width: int = WIDTH
    iterations: int = 0
    seed: int = 0


def run_demo(settings: DemoSettings, output: Path) -> dict[str, Any]:
    """Make the data, train, evaluate and draw; an unfinished demo with the same settings is resumed.

    Args:
        settings: settings of the demo.
        output: folder, created if missing: data/, train/ (the run), masks.png and, last of all, summary.json.

    Returns:
        The content of summary.json: box_AP, mask_AP and boxfill_AP in percent (None if undefined), seconds of this
        call, settings, versions and config.

    Raises:
        FileExistsError: ``output`` contains files with the names of a demo's files that a demo did not write.
        ConfigError: the config file is invalid.
    """
    start = time.monotonic()
    load_config(add_depthbox_config, settings.config_file)  # reports mistakes before the scenes are made
    resume = prepare_output(output, settings)
    cfg = make_config(settings, output, make_data(settings, output / "data"))
    results = run(cfg, resume=resume, command="demo")
    if not results:  # the resumed run was already finished
        results = run(cfg, resume=True, eval_only=True, command="demo, evaluation")
    draw_masks(cfg, output / _SHEET)
    summary = summarize(results, settings, cfg, resume, time.monotonic() - start)
    with atomic_open(output / _SUMMARY, tidy=True) as file:
        file.write((json.dumps(summary, indent=2) + "\n").encode())
    return summary


def prepare_output(output: Path, settings: DemoSettings) -> bool:
    """Remove the files of an earlier demo, unless it is unfinished and has the same settings.

    Returns:
        True if the training run of an unfinished demo is to be resumed.

    Raises:
        FileExistsError: the folder contains files with the names of a demo's files that a demo did not write.
    """
    note, wanted = output / _NOTE, asdict(settings)
    present = [output / name for name in _MADE if (output / name).exists()]
    if present and not note.is_file():
        raise FileExistsError(
            f"{present[0]} was not made by a demo: move it away, or choose another folder with --output"
        )
    finished = (output / _SUMMARY).exists()
    if note.is_file() and not finished and _read_note(note) == wanted:
        logging.getLogger(__name__).info("Resuming the unfinished demo in %s", output)
        return (output / "train" / "last_checkpoint").is_file()
    # The summary is removed first, so that a demo which is killed here counts as unfinished.
    for path in sorted(present, key=lambda path: path.name != _SUMMARY):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    with atomic_open(note, tidy=True) as file:
        file.write(json.dumps(wanted, indent=2).encode())
    return False


def make_data(settings: DemoSettings, folder: Path) -> list[list[str]]:
    """Write the missing scenes of both splits; returns their entries for DATASETS.COCO_STYLE."""
    entries = []
    for split, count in (("train", settings.train_images), ("val", settings.val_images)):
        target = write_dataset(
            folder,
            count,
            seed=settings.seed,
            height=settings.height,
            width=settings.width,
            split=split,
            workers=2,
            progress=True,
        )
        paths = (target, folder / split, folder / f"depth_{split}")
        entries.append([f"demo_{split}", *(str(path.resolve()) for path in paths)])
    return entries


def make_config(settings: DemoSettings, output: Path, data: list[list[str]]) -> CfgNode:
    """Load the config file and set it to the demo's data, output folder and seed.

    Raises:
        ConfigError: the file is invalid.
    """
    names = [entry[0] for entry in data]
    overrides: dict[str, Any] = {
        "DATASETS.COCO_STYLE": repr(data),
        "DATASETS.TRAIN": repr((names[0],)),
        "DATASETS.TEST": repr((names[1],)),
        "MODEL.FCOS.NUM_CLASSES": str(len(CLASS_NAMES)),
        "TEST.FILLED_BOX_AP": "True",
        "OUTPUT_DIR": str(output / "train"),
        "SEED": str(settings.seed),
    }
    words = [word for pair in overrides.items() for word in pair]
    cfg = load_config(add_depthbox_config, settings.config_file, words)
    return stretch_schedule(cfg, settings.iterations) if settings.iterations else cfg


def stretch_schedule(cfg: CfgNode, iterations: int) -> CfgNode:
    """Return a copy with ``iterations`` iterations; learning rate steps and warm-ups are scaled in proportion."""
    cfg = cfg.clone()
    cfg.defrost()
    solver, pairwise = cfg.SOLVER, cfg.MODEL.BOXINST.PAIRWISE
    ratio = iterations / max(solver.MAX_ITER, 1)
    solver.STEPS = tuple(max(1, round(step * ratio)) for step in solver.STEPS)
    solver.WARMUP_ITERS = round(solver.WARMUP_ITERS * ratio)
    pairwise.WARMUP_ITERS = max(1, round(pairwise.WARMUP_ITERS * ratio))
    solver.MAX_ITER = iterations
    cfg.freeze()
    return cfg


def draw_masks(cfg: CfgNode, path: Path) -> None:
    """Draw the ground truth and the final network's masks for some validation images."""
    name = cfg.DATASETS.TEST[0]
    records = choose_records(load_records([name], filter_empty=False), SHEET_IMAGES)  # sets the names of the classes
    predict = load_predictor(cfg, str(Path(cfg.OUTPUT_DIR) / f"{FINAL}.pth"))
    sheet = DatasetSheet(cfg, name, predict, columns=SHEET_COLUMNS, score_threshold=SHEET_SCORE, inputs=False)
    tiles = [tile for record in records for tile in sheet.tiles(record)]
    title = "Masks learned from boxes: ground truth (boxes and outlines) and prediction"
    save_sheet(make_sheet(tiles, sheet.columns, title), path)


def summarize(
    results: Mapping[str, Any], settings: DemoSettings, cfg: CfgNode, resumed: bool, seconds: float
) -> dict[str, Any]:
    """Collect the content of summary.json; a metric that the evaluation could not compute is None."""
    tasks = {"box_AP": "bbox", "mask_AP": "segm", "boxfill_AP": "boxfill"}
    values = {name: float(results.get(task, {}).get("AP", float("nan"))) for name, task in tasks.items()}
    return {
        **{name: round(value, 4) if value == value else None for name, value in values.items()},
        "seconds": round(seconds),
        "resumed": resumed,
        "settings": asdict(settings),
        "iterations": cfg.SOLVER.MAX_ITER,
        "images_per_batch": cfg.SOLVER.IMS_PER_BATCH,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "detectron2": detectron2.__version__,
            "generator": str(GENERATOR_VERSION),
        },
        "config": cfg.dump(),
    }


def format_summary_line(summary: Mapping[str, Any]) -> str:
    """Format ``DEMO box_AP=... mask_AP=... boxfill_AP=... seconds=...``; nan for a missing metric."""
    names = ("box_AP", "mask_AP", "boxfill_AP")
    figures = [f"{name}={summary[name]:.2f}" if summary[name] is not None else f"{name}=nan" for name in names]
    return " ".join(["DEMO", *figures, f"seconds={summary['seconds']}"])


def _read_note(path: Path) -> Any:
    try:
        return read_json(path)
    except ValueError:
        return None
