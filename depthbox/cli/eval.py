"""``depthbox eval``: AP of a finished run, or of any weights, on its own or other data."""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import show
from .train import add_run_arguments, launch_run

if TYPE_CHECKING:
    from detectron2.config import CfgNode

SUMMARY = "Measure box AP and, given ground-truth masks, mask AP."
USAGE = "%(prog)s (--run DIR | --config-file FILE) [options] [KEY VALUE ...]"
EXAMPLES = """
examples:
  a finished run:       %(prog)s --run output/boxes
  other weights of it:  ... --weights output/boxes/model_0005000.pth
  other data:           ... --data test.json --images test
  a published config:   %(prog)s --config-file FILE --weights W
  on the CPU:           ... MODEL.DEVICE cpu
  for programs:         ... --report ap.json

Without ground-truth masks only the box AP is measured. boxfill is the AP of
the filled boxes of the predicted masks, a baseline for masks. Other data may
have any format that `depthbox train` reads; their classes are matched with
those of the run by name. Predictions are written to OUTPUT_DIR/inference.
Exit status: 0 done, 2 wrong options or files.
"""
_TASKS = {"bbox": "boxes", "segm": "masks", "boxfill": "filled boxes"}
_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
_VOC_METRICS = ("mAP25", "mAP50", "mAP70", "mAP75")  # of TEST.EVALUATOR voc_masks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add(
        "--run",
        type=Path,
        metavar="DIR",
        help="folder of a training run, with its config.yaml and best or final weights",
    )
    add(
        "--weights",
        default="",
        metavar="FILE",
        help="checkpoint (default: model_best.pth of --run, else model_final.pth, else the newest)",
    )
    add("--data", type=Path, metavar="FILE", help="annotations to evaluate on, instead of the config's data")
    add("--images", type=Path, metavar="DIR", help="image folder of --data (default: defined by the format)")
    add("--report", type=Path, metavar="FILE", help="JSON file for the results")
    add_run_arguments(parser)
    add("overrides", nargs="*", metavar="KEY VALUE", help="config settings that take precedence")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print a table; return the exit status.

    Raises:
        ValueError, OSError: wrong options, config or files.
    """
    from .. import add_depthbox_config
    from ..checkpoint.run_files import find_run
    from ..config import load_config
    from ..io.write_errors import require_writable

    if arguments.run is not None:
        arguments = argparse.Namespace(**{**vars(arguments), "run": find_run(arguments.run)})
    config, weights = _find_run(arguments)
    if arguments.images is not None and arguments.data is None:
        raise ValueError("--images goes with --data: give both, or neither")
    if arguments.data is not None and not arguments.data.exists():
        raise ValueError(f"{arguments.data} does not exist: correct --data")
    words = list(arguments.overrides)
    if weights:
        words += ["MODEL.WEIGHTS", weights]
    if arguments.run is not None and "OUTPUT_DIR" not in arguments.overrides:
        words += ["OUTPUT_DIR", str(arguments.run)]  # the folder may have been moved
    cfg = load_config(add_depthbox_config, config, words)
    if arguments.data is not None:
        cfg = load_config(add_depthbox_config, config, [*words, *_data_words(arguments, cfg)])
    elif not cfg.DATASETS.TEST:
        raise ValueError(f"{config} has no test images: name annotations with --data (and --images)")
    if arguments.report is not None:
        require_writable(arguments.report)
    command = shlex.join(sys.argv)
    job = functools.partial(
        evaluate_and_print, cfg, not weights and arguments.run is not None, command, arguments.report
    )
    launch_run(arguments, cfg, job, arguments.num_gpus)
    return 0


def evaluate_and_print(cfg: CfgNode, newest: bool, command: str, report: Path | None) -> None:
    """Evaluate, print the table and write the report; called in every process.

    Args:
        cfg: config of the run.
        newest: evaluate the newest checkpoint in OUTPUT_DIR instead of MODEL.WEIGHTS.
        command: command line, for the log.
        report: JSON file for the results; None = not written.
    """
    from detectron2.utils import comm

    from ..engine.run import run as run_engine
    from ..io.files import atomic_open

    results = run_engine(cfg, resume=newest, eval_only=True, command=command)
    if not comm.is_main_process():
        return
    show(format_metrics(results))
    if report is not None:
        with atomic_open(report, tidy=True) as file:
            file.write(json.dumps(_plain(results), indent=1).encode() + b"\n")
        show(f"report  {report}")


def format_metrics(results: Mapping[str, Any]) -> str:
    """Format the main metrics in at most 79 columns; NaN as a dash."""
    groups = results if results and not set(results) & set(_TASKS) else {"": results}
    lines = []
    for name, tasks in groups.items():
        metrics = _VOC_METRICS if any("mAP50" in values for values in tasks.values()) else _METRICS
        lines.append(f"{name:24}" + "".join(f"{metric:>9}" for metric in metrics))
        for task, values in tasks.items():
            figures = [float(values.get(metric, math.nan)) for metric in metrics]
            shown = ["-" if math.isnan(value) else f"{value:.2f}" for value in figures]
            lines.append(f"  {_TASKS.get(task, task):22}" + "".join(f"{value:>9}" for value in shown))
        if not tasks:
            lines.append("  no ground truth: the data have no annotations")
        elif "segm" not in tasks:
            lines.append("  (no ground-truth masks: box AP only)")
    return "\n".join(lines)


def _find_run(arguments: argparse.Namespace) -> tuple[str, str]:
    """Find config file and weights; no weights = the newest checkpoint of the run, or MODEL.WEIGHTS of the config.

    Raises:
        ValueError: neither a run nor a config, both, or files that do not exist.
    """
    if (arguments.run is None) == (not arguments.config_file):
        raise ValueError("name either a training run with --run or a config with --config-file")
    if arguments.weights and "://" not in arguments.weights and not os.path.isfile(arguments.weights):
        raise ValueError(f"the checkpoint {arguments.weights} does not exist: correct --weights")
    if arguments.run is None:
        return arguments.config_file, arguments.weights
    config = arguments.run / "config.yaml"
    if not config.is_file():
        raise ValueError(f"{arguments.run} is not the folder of a training run, it has no config.yaml: correct --run")
    if arguments.weights or arguments.resume:
        return str(config), arguments.weights
    from ..checkpoint.run_weights import find_weights

    found = find_weights(arguments.run)
    if found is None and not (arguments.run / "last_checkpoint").is_file():
        raise ValueError(
            f"{arguments.run} has no checkpoint yet: continue training with --resume, or name one with --weights"
        )
    return str(config), str(found or "")


def _data_words(arguments: argparse.Namespace, cfg: CfgNode) -> list[str]:
    """Return KEY VALUE words for data other than the config's, with the classes of the run.

    The ground truth with these classes is written to OUTPUT_DIR/inference/NAME/ground_truth.json.

    Raises:
        ValueError: data that cannot be read, or classes that the run does not have.
    """
    from ..inference.classes import find_classes
    from ..io.annotations.canonical import canonicalize, repaired_coco, write_coco
    from ..io.annotations.classes import remap_classes
    from ..io.annotations.detect import choose_split, read_raw, splits_of
    from ..io.annotations.records import format_note

    split = choose_split(arguments.data, ("test", "val", "train"))
    raw = read_raw(arguments.data, arguments.images, split)
    assert raw is not None  # a split of the dataset
    annotations = canonicalize(raw, check_files=True, check_sizes=True)
    if len(annotations.missing) == len(annotations.content["images"]):
        raise ValueError(f"no image of {arguments.data} exists in {raw.image_root}: correct --images")
    annotations = annotations.without_missing()
    classes = find_classes(cfg)
    if classes.known:
        annotations = remap_classes(annotations, classes.names, dict(enumerate(classes.ids, 1)))
    elif len(annotations.content["categories"]) != len(classes):
        raise ValueError(
            f"{arguments.data} has {len(annotations.content['categories'])} classes, the network has {len(classes)}, "
            "and the names of its classes are unknown: evaluate on data with the classes of the training run"
        )
    for note in annotations.notes:
        if note.kind != "repaired":
            show(format_note(note), error=True)
    stem = raw.source.resolve().stem or "data"  # the source may be "." or ".."
    name = f"{stem}_{split}" if splits_of(arguments.data) else stem
    file = Path(cfg.OUTPUT_DIR) / "inference" / name / "ground_truth.json"
    write_coco(repaired_coco(annotations), file)
    entry = [name, os.path.abspath(file), os.path.abspath(annotations.image_root), ""]
    return ["DATASETS.COCO_STYLE", repr([entry]), "DATASETS.TEST", repr((name,))]


def _plain(results: Any) -> Any:
    """Return results for JSON; NaN, which marks metrics without objects, becomes null."""
    if isinstance(results, Mapping):
        return {key: _plain(value) for key, value in results.items()}
    return None if math.isnan(results) else float(results)
