"""``depthbox eval``: the AP of a finished run, or of any weights, on its own or other data."""

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

from .train import add_run_arguments, launch_run

if TYPE_CHECKING:
    from detectron2.config import CfgNode

SUMMARY = "Measure box AP and, where there are true masks, mask AP."
USAGE = "%(prog)s (--run DIR | --config-file FILE) [options] [KEY VALUE ...]"
EXAMPLES = """
examples:
  a finished training:  %(prog)s --run output/boxes
  other weights of it:  ... --weights output/boxes/model_0005000.pth
  other data:           ... --data test.json --images test
  a published config:   %(prog)s --config-file FILE --weights W
  on the CPU:           ... MODEL.DEVICE cpu
  for programs:         ... --report ap.json

Without true masks only the box AP is measured. boxfill is the AP of the
predicted masks' filled boxes: what masks must beat. Predictions go to
OUTPUT_DIR/inference. Exit status: 0 done, 2 a mistake.
"""
BEST, FINAL = "model_best.pth", "model_final.pth"
_TASKS = {"bbox": "boxes", "segm": "masks", "boxfill": "filled boxes"}
_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--run", type=Path, metavar="DIR", help="folder of a training: its config.yaml and its best or final weights")
    add(
        "--weights",
        default="",
        metavar="FILE",
        help=f"checkpoint (default: {BEST} of --run, else {FINAL}, else the newest)",
    )
    add("--data", type=Path, metavar="FILE", help="COCO json to evaluate on, instead of the config's data")
    add("--images", type=Path, metavar="DIR", help="its images")
    add("--report", type=Path, metavar="FILE", help="json file for the results")
    add_run_arguments(parser)
    add("overrides", nargs="*", metavar="KEY VALUE", help="settings of the config that win over all")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print a table; returns the exit status.

    Raises:
        ValueError, OSError: a mistake in the options, the config or the files.
    """
    from .. import add_depthbox_config
    from ..config import load_config

    config, weights = _find_run(arguments)
    words = [*_data_words(arguments), *arguments.overrides]
    if weights:
        words += ["MODEL.WEIGHTS", weights]
    if arguments.run is not None and "OUTPUT_DIR" not in arguments.overrides:
        words += ["OUTPUT_DIR", str(arguments.run)]  # the folder may have been moved
    cfg = load_config(add_depthbox_config, config, words)
    command = shlex.join(sys.argv)
    job = functools.partial(
        evaluate_and_tell, cfg, not weights and arguments.run is not None, command, arguments.report
    )
    launch_run(arguments, cfg, job, arguments.num_gpus)
    return 0


def evaluate_and_tell(cfg: CfgNode, newest: bool, command: str, report: Path | None) -> None:
    """Evaluate, print the table, write the report; called in every process.

    Args:
        cfg: of the run.
        newest: evaluate the newest checkpoint in OUTPUT_DIR instead of MODEL.WEIGHTS.
        command: for the log.
        report: json file for the results; None = none.
    """
    from detectron2.utils import comm

    from ..engine.run import run as run_engine
    from ..io.files import atomic_open

    results = run_engine(cfg, resume=newest, eval_only=True, command=command)
    if not comm.is_main_process():
        return
    print(table(results))
    if report is not None:
        with atomic_open(report) as file:
            file.write(json.dumps(_plain(results), indent=1).encode() + b"\n")
        print(f"report  {report}")


def table(results: Mapping[str, Any]) -> str:
    """The main figures in at most 79 columns; NaN as a dash."""
    groups = results if results and not set(results) & set(_TASKS) else {"": results}
    lines = []
    for name, tasks in groups.items():
        lines.append(f"{name:24}" + "".join(f"{metric:>9}" for metric in _METRICS))
        for task, values in tasks.items():
            figures = [float(values.get(metric, math.nan)) for metric in _METRICS]
            shown = ["-" if math.isnan(value) else f"{value:.2f}" for value in figures]
            lines.append(f"  {_TASKS.get(task, task):22}" + "".join(f"{value:>9}" for value in shown))
        if not tasks:
            lines.append("  nothing to compare with: the data have no annotations")
        elif "segm" not in tasks:
            lines.append("  (no true masks: box AP alone)")
    return "\n".join(lines)


def _find_run(arguments: argparse.Namespace) -> tuple[str, str]:
    """Config file and weights; no weights = the newest checkpoint of the run, or MODEL.WEIGHTS of the config.

    Raises:
        ValueError: neither a run nor a config, both, or files that are not there.
    """
    if (arguments.run is None) == (not arguments.config_file):
        raise ValueError("name either a training with --run or a config with --config-file")
    if arguments.weights and "://" not in arguments.weights and not os.path.isfile(arguments.weights):
        raise ValueError(f"there is no checkpoint {arguments.weights}; correct --weights")
    if arguments.run is None:
        return arguments.config_file, arguments.weights
    config = arguments.run / "config.yaml"
    if not config.is_file():
        raise ValueError(f"{arguments.run} is no folder of a training: it has no config.yaml; correct --run")
    if arguments.weights or arguments.resume:
        return str(config), arguments.weights
    found = [arguments.run / name for name in (BEST, FINAL) if (arguments.run / name).is_file()]
    if not found and not (arguments.run / "last_checkpoint").is_file():
        raise ValueError(f"{arguments.run} has no checkpoint yet; train further, or name one with --weights")
    return str(config), str(found[0]) if found else ""


def _data_words(arguments: argparse.Namespace) -> list[str]:
    """KEY VALUE words for other data than the config's."""
    if (arguments.data is None) != (arguments.images is None):
        raise ValueError("--data and --images belong together; give both, or neither")
    if arguments.data is None:
        return []
    for path, option in ((arguments.data, "--data"), (arguments.images, "--images")):
        if not path.exists():
            raise ValueError(f"there is no {path}; correct {option}")
    name = arguments.data.stem
    entry = [name, os.path.abspath(arguments.data), os.path.abspath(arguments.images), ""]
    return ["DATASETS.COCO_STYLE", repr([entry]), "DATASETS.TEST", repr((name,))]


def _plain(results: Any) -> Any:
    """Results as json can hold them: NaN, which means that there is nothing to find, as null."""
    if isinstance(results, Mapping):
        return {key: _plain(value) for key, value in results.items()}
    return None if math.isnan(results) else float(results)
