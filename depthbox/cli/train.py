"""``depthbox train``: training from a config file, or on a user's own data by fixed rules."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import show
from .settings import format_overrides, merge_settings

if TYPE_CHECKING:
    from detectron2.config import CfgNode

    from ..custom_data.jobs import TrainingJob

SUMMARY = "Train masks from boxes or points: your own data, or a config file."
USAGE = "%(prog)s (--data PATH|--config-file FILE) [options] [KEY VALUE ...]"
STOPPED = "stopped; the same command with --resume continues from the newest checkpoint"
EXAMPLES = """
examples:
  boxes as COCO JSON:     %(prog)s --data boxes.json --images photos
  with depth maps:        ... --depth depth
  one point per object:   %(prog)s --data points.json --images photos
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

From one point per object training has two stages: A/ makes masks of the points
(labels.json), B/ is the network for new images, trained on these masks. A.KEY
and B.KEY are settings of one stage.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    own = parser.add_argument_group("your own data").add_argument
    own("--data", type=Path, metavar="PATH", help="annotations: COCO JSON, YOLO's data.yaml, Pascal VOC folder, ...")
    own("--images", type=Path, metavar="DIR", help="image folder (default: defined by the format)")
    own("--depth", type=Path, metavar="DIR", help="folder of depth maps, made by depthbox depth (default: none)")
    own("--class-maps", type=Path, metavar="DIR", help="PNG files of the classes of pixels, for points (default: none)")
    own("--val-data", type=Path, metavar="PATH", help="annotations of the validation images, in any format")
    own("--val-images", type=Path, metavar="DIR", help="image folder of --val-data")
    own("--val-share", type=float, metavar="X", help="share of validation images without --val-data (default 0.1)")
    own("--split-seed", type=int, metavar="N", help="seed of the split and of the training run (default 0)")
    own("--model", metavar="NAME", help="R_50 (default on a GPU), R_101, R_101_DCN, Swin_T, Swin_B, efficientnet_lite0")
    own("--weights", metavar="FILE", help="initial weights: a file, timm, package:NAME or none (default: the model's)")
    own("--method", metavar="M", help="boxinst, depthbox or p2seg (default: p2seg for points, else by --depth)")
    own("--stage", choices=("a", "b"), help="for points: masks of the points, or the network alone (default: both)")
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
        ValueError: more processes than the machine allows, an unreadable image, a process that failed.
        FloatingPointError: a loss is not finite.
        Stopped: a signal.
    """
    from ..engine import launch

    launch(
        main,
        num_processes=num_gpus or 1,
        num_machines=arguments.num_machines,
        machine_rank=arguments.machine_rank,
        dist_url=arguments.dist_url,
        device=cfg.MODEL.DEVICE,
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, see ``train``; return the exit status.

    Raises:
        ValueError, OSError, ImportError: see ``train``.
    """
    train(arguments)
    return 0


def train(arguments: argparse.Namespace) -> CfgNode:
    """Train and print the next steps, or only plan with --dry-run; return the config of the run.

    Returns:
        The config of the run; of two stages, that of the last one that was run.

    Raises:
        ValueError, OSError, ImportError: wrong options, config or data.
    """
    from ..engine.launch import find_outer_group
    from ..io.folder_lock import lock_folder

    options = merge_settings(arguments)
    words = [*_check_overrides(options, arguments.settings), *arguments.overrides]
    group = find_outer_group(options.get("num_gpus") or 1)
    main = not (group.rank if group is not None else arguments.machine_rank)
    processes = group.world_size if group is not None else options.get("num_gpus", 1) * arguments.num_machines
    job = (_make_own_job if "data" in options else _make_file_job)(arguments, options, words, processes)
    if main and job.plan:
        show(job.plan)
    if arguments.dry_run and not job.previews:
        return job.cfg
    with contextlib.ExitStack() as stack:
        if main:
            stack.enter_context(lock_folder(job.folder, "training run"))
            stack.enter_context(job.start())
        if arguments.dry_run:
            return job.cfg
        launch_run(arguments, job.cfg, job.run, options.get("num_gpus"))
    if main:
        show(format_next_steps(job.cfg))
    return job.cfg


def _check_overrides(options: Mapping[str, Any], settings: Path | None) -> list[str]:
    """Return the overrides of a settings file as words; a mistake in them names the file."""
    from ..custom_data.overrides import check_overrides

    words = format_overrides(options.get("overrides") or {})
    check_overrides(words, f"{settings}, overrides")
    return words


def format_next_steps(cfg: CfgNode) -> str:
    """Return commands that work on the finished run of a config; of two stages, the config is that of the last."""
    from ..checkpoint.run_files import LABELS
    from ..checkpoint.run_weights import find_weights

    folder = shlex.quote(str(cfg.OUTPUT_DIR))
    if cfg.MODEL.META_ARCHITECTURE == "P2Seg":
        labels = Path(cfg.OUTPUT_DIR).parent / LABELS
        return f"next:  the same command with --stage b instead of --stage a, which trains on the masks in {labels}"
    weights = shlex.quote(str(find_weights(cfg.OUTPUT_DIR) or Path(cfg.OUTPUT_DIR) / "model_final.pth"))
    steps = [f"depthbox eval --run {folder}"] if cfg.DATASETS.TEST else []
    if len(cfg.DATASETS.COCO_STYLE) and not (steps and cfg.MODEL.MASK_SUPERVISION == "box"):
        steps.append(f"depthbox predict {shlex.quote(cfg.DATASETS.COCO_STYLE[0][2])} --weights {weights}")
    steps.append(f"depthbox visualize --config-file {folder}/config.yaml --weights {weights}")
    return "next:  " + "\n       ".join(steps)


def _make_own_job(
    arguments: argparse.Namespace, options: Mapping[str, Any], words: list[str], processes: int
) -> TrainingJob:
    from ..custom_data.jobs import make_own_job
    from ..custom_data.plan import OwnTraining

    if arguments.config_file:
        raise ValueError("--data makes its own config: leave out --config-file, or give keys as KEY VALUE")
    return make_own_job(
        OwnTraining.from_options(options, processes),
        words,
        check=not (arguments.no_check or arguments.resume),
        resume=arguments.resume,
        preview=arguments.dry_run,
        command=shlex.join(sys.argv),
    )


def _make_file_job(
    arguments: argparse.Namespace, options: Mapping[str, Any], words: list[str], processes: int
) -> TrainingJob:
    from .. import add_depthbox_config
    from ..config import load_config
    from ..custom_data.jobs import make_file_job

    if not arguments.config_file:
        raise ValueError("name your annotations with --data (and --images), or a config with --config-file")
    foreign = [name for name in options if name not in ("num_gpus", "overrides")]
    if foreign:
        option = foreign[0].replace("_", "-")
        raise ValueError(f"--{option} goes with --data; with --config-file give KEY VALUE (OUTPUT_DIR, MODEL.WEIGHTS)")
    cfg = load_config(add_depthbox_config, arguments.config_file, words)
    return make_file_job(cfg, resume=arguments.resume, command=shlex.join(sys.argv))
