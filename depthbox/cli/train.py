"""``depthbox train``: training from a config file, or on a user's own data by fixed rules."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .settings import format_overrides, merge_settings

if TYPE_CHECKING:
    from detectron2.config import CfgNode

    from ..custom_data.plan import OwnRun

SUMMARY = "Train masks from boxes: on your own data, or with a config file."
USAGE = "%(prog)s (--data PATH|--config-file FILE) [options] [KEY VALUE ...]"
STOPPED = "stopped; the same command with --resume continues from the newest checkpoint"
EXAMPLES = """
examples:
  boxes as COCO JSON:     %(prog)s --data boxes.json --images photos
  with depth maps:        ... --depth depth
  validation set:         ... --val-data val.json --val-images val
  YOLO:                   %(prog)s --data data.yaml
  Pascal VOC:             %(prog)s --data VOCfolder
  CVAT, LabelMe, ...:     %(prog)s --data FILE_OR_FOLDER --images photos
  on the CPU:             ... --device cpu --model efficientnet_lite0
  other lengths:          ... --epochs 50 --batch-size 8 SOLVER.BASE_LR 0.002
  show the plan only:     ... --dry-run
  options in a file:      %(prog)s --settings my.yaml
                          (data: boxes.json, images: photos, ...)
  continue after a stop:  the same command with --resume
  with a config file:     %(prog)s --config-file FILE --num-gpus 8
  with torchrun:          torchrun --nproc-per-node 8 -m depthbox.cli.main \\
                              train --config-file FILE

The folder of --output gets config.yaml, log.txt, metrics.json, TensorBoard
events, checkpoints (model_*.pth, the best as model_best.pth), inference/ and,
with --data, the COCO JSON files of the training and validation images (data/).
An earlier run in this folder is moved aside as a whole. docs/my_data.md
explains the rules of learning rate and schedule. Any config KEY can follow
with its VALUE.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    own = parser.add_argument_group("your own data").add_argument
    own("--data", type=Path, metavar="PATH", help="annotations: COCO JSON, YOLO's data.yaml, Pascal VOC folder, ...")
    own("--images", type=Path, metavar="DIR", help="image folder (default: defined by the format)")
    own("--depth", type=Path, metavar="DIR", help="folder of depth maps, made by depthbox depth (default: none)")
    own("--val-data", type=Path, metavar="PATH", help="annotations of the validation images, in any format")
    own("--val-images", type=Path, metavar="DIR", help="image folder of --val-data")
    own("--val-share", type=float, metavar="X", help="share of validation images without --val-data (default 0.1)")
    own("--split-seed", type=int, metavar="N", help="seed of the split and of the training run (default 0)")
    own("--model", metavar="NAME", help="R_50 (default on a GPU), R_101, R_101_DCN, Swin_T, Swin_B, efficientnet_lite0")
    own("--weights", metavar="FILE", help="initial weights: a file, timm, package:NAME or none (default: the model's)")
    own("--method", metavar="M", help="boxinst or depthbox (default: depthbox with --depth)")
    own("--device", metavar="D", help="cuda or cpu (default: cuda if available)")
    own("--batch-size", type=int, metavar="N", help="images per iteration, over all GPUs")
    own("--size", type=int, metavar="N", help="short side of the network's input in pixels")
    own("--epochs", type=float, metavar="X", help="passes over the training images")
    own("--iterations", type=int, metavar="N", help="number of iterations; the whole schedule follows")
    own("--output", type=Path, metavar="DIR", help="folder of the run (default output/<name of the data>)")
    own("--settings", type=Path, metavar="FILE", help="YAML file with these options; the command line takes precedence")
    own("--no-check", action="store_true", help="do not check the data first")
    own("--dry-run", action="store_true", help="read the data and show the plan, do not train")
    add_run_arguments(parser.add_argument_group("every training run"))
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config settings that take precedence")


def add_run_arguments(parser: argparse._ActionsContainer) -> None:
    """Add the options shared with tools/train_net.py: the config file and the processes."""
    add = parser.add_argument
    add("--config-file", default="", metavar="FILE", help="YAML config file of the run")
    add("--resume", action="store_true", help="continue from the newest checkpoint in OUTPUT_DIR")
    add("--num-gpus", type=int, metavar="N", help="processes on this machine, also on the CPU (default 1)")
    add("--num-machines", type=int, default=1, metavar="N", help="number of machines (default 1)")
    add("--machine-rank", type=int, default=0, metavar="N", help="index of this machine, from 0")
    add("--dist-url", default="auto", metavar="URL", help="address at which processes meet, tcp://host:port")


def launch_run(arguments: argparse.Namespace, cfg: CfgNode, main: Callable[[], Any], num_gpus: int | None) -> None:
    """Start ``main`` in the requested number of processes.

    Raises:
        ValueError: more processes than the machine allows, an unreadable image, a loss that is not finite.
    """
    from ..data.loader import SampleError
    from ..engine import launch

    try:
        launch(
            main,
            num_processes=num_gpus or 1,
            num_machines=arguments.num_machines,
            machine_rank=arguments.machine_rank,
            dist_url=arguments.dist_url,
            device=cfg.MODEL.DEVICE,
        )
    except (SampleError, FloatingPointError) as error:  # their messages name the remedy
        raise ValueError(str(error)) from error


def run(arguments: argparse.Namespace) -> int:
    """Train; return the exit status.

    Raises:
        ValueError, OSError, ImportError: wrong options, config or data.
    """
    from ..engine.run import run as run_engine

    options = merge_settings(arguments)
    words = [*_check_overrides(options, arguments.settings), *arguments.overrides]
    main = not int(os.environ.get("RANK", "0")) and not arguments.machine_rank
    data: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if "data" in options:
        own = _plan_own_run(arguments, options, words, main)
        cfg = own.cfg
        data = _written_data(own, arguments) if main else data
    else:
        cfg = _load_file(arguments, options, words)
    job = functools.partial(run_engine, cfg, resume=arguments.resume, command=shlex.join(sys.argv))
    with data:
        if arguments.dry_run:
            return 0
        launch_run(arguments, cfg, job, options.get("num_gpus"))
    if main:
        print(format_next_steps(cfg))
    return 0


def _check_overrides(options: Mapping[str, Any], settings: Path | None) -> list[str]:
    """Return the overrides of a settings file as words; a mistake in them names the file."""
    from .. import add_depthbox_config
    from ..config import load_config

    words = format_overrides(options.get("overrides") or {})
    load_config(add_depthbox_config, overrides=words, source=f"{settings}, overrides")
    return words


def format_next_steps(cfg: CfgNode) -> str:
    """Return commands that work on the finished run of a config."""
    from ..checkpoint.run_weights import find_weights

    folder = shlex.quote(str(cfg.OUTPUT_DIR))
    weights = shlex.quote(str(find_weights(cfg.OUTPUT_DIR) or Path(cfg.OUTPUT_DIR) / "model_final.pth"))
    steps = [f"depthbox visualize --config-file {folder}/config.yaml --weights {weights}"]
    if cfg.DATASETS.TEST:
        steps.insert(0, f"depthbox eval --run {folder}")
    elif len(cfg.DATASETS.COCO_STYLE):
        steps.insert(0, f"depthbox predict {shlex.quote(cfg.DATASETS.COCO_STYLE[0][2])} --weights {weights}")
    return "next:  " + "\n       ".join(steps)


def _plan_own_run(arguments: argparse.Namespace, options: Mapping[str, Any], words: list[str], main: bool) -> OwnRun:
    from ..custom_data.plan import OwnTraining, configure_own
    from ..custom_data.plan_table import format_plan
    from ..custom_data.prepare import require_same_splits

    if arguments.config_file:
        raise ValueError("--data makes its own config: leave out --config-file, or give keys as KEY VALUE")
    processes = int(os.environ.get("WORLD_SIZE", options.get("num_gpus", 1) * arguments.num_machines))
    training = OwnTraining.from_options(options, processes)
    own = configure_own(training, words, check=not (arguments.no_check or arguments.resume))
    if arguments.resume:
        require_same_splits(own.data)
    if main:
        print(format_plan(own), flush=True)
    return own


@contextlib.contextmanager
def _written_data(own: OwnRun, arguments: argparse.Namespace) -> Iterator[None]:
    """Write the JSON files of a run for its duration; if it is refused, an earlier run is put back as it was.

    A dry run and a resumed run leave the files of an existing run as they are.
    """
    from ..checkpoint.earlier_runs import is_run, restore_run, set_aside_run
    from ..custom_data.prepare import write_splits

    folder = Path(own.cfg.OUTPUT_DIR)
    if is_run(folder) and (arguments.dry_run or arguments.resume):
        yield
        return
    config = folder / "config.yaml"
    content = config.read_bytes() if config.is_file() else b""
    earlier = set_aside_run(folder)
    written = write_splits(own.data)
    try:
        yield
    except BaseException:
        if not is_run(folder):
            _remove_data(written)
            if earlier is not None:
                restore_run(folder, earlier, content)
        raise


def _remove_data(written: Sequence[Path]) -> None:
    """Remove the JSON files of a refused run, and its folders if they are empty then."""
    for path in written:
        path.unlink(missing_ok=True)
    for folder in (written[0].parent, written[0].parent.parent):
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()


def _load_file(arguments: argparse.Namespace, options: Mapping[str, Any], words: list[str]) -> CfgNode:
    from .. import add_depthbox_config
    from ..config import load_config

    if not arguments.config_file:
        raise ValueError("name your annotations with --data (and --images), or a config with --config-file")
    foreign = [name for name in options if name not in ("num_gpus", "overrides")]
    if foreign:
        option = foreign[0].replace("_", "-")
        raise ValueError(f"--{option} goes with --data; with --config-file give KEY VALUE (OUTPUT_DIR, MODEL.WEIGHTS)")
    return load_config(add_depthbox_config, arguments.config_file, words)
