"""``depthbox train``: a config file, or a user's own boxes and rules for all the rest."""

from __future__ import annotations

import argparse
import functools
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detectron2.config import CfgNode

    from ..custom_data.plan import OwnTraining

SUMMARY = "Learn masks from boxes: your own data, or a config file."
USAGE = "%(prog)s (--data PATH|--config-file FILE) [options] [KEY VALUE ...]"
STOPPED = "stopped; the same command with --resume goes on from the newest checkpoint"
EXAMPLES = """
examples:
  my boxes (COCO json):   %(prog)s --data boxes.json --images photos
  with depth maps:        ... --depth depth
  my own validation set:  ... --val-data val.json --val-images val
  YOLO:                   %(prog)s --data data.yaml
  Pascal VOC:             %(prog)s --data VOCfolder
  on the CPU:             ... --device cpu --model efficientnet_lite0
  other lengths:          ... --epochs 50 --batch-size 8 SOLVER.BASE_LR 0.002
  just look at the plan:  ... --dry-run
  all of it in a file:    %(prog)s --settings my.yaml
                          (data: boxes.json, images: photos, ...)
  go on after a stop:     the same command with --resume
  a config of its own:    %(prog)s --config-file FILE --num-gpus 8
  with torchrun:          torchrun --nproc-per-node 8 -m depthbox.cli.main \\
                              train --config-file FILE

The folder of --output gets config.yaml, log.txt, metrics.json, TensorBoard
events, checkpoints (model_*.pth, the best as model_best.pth), inference/ and,
of --data, the json files that were trained and tested on (data/).
docs/my_data.md says how learning rate and schedule are chosen. Any KEY of the
config can follow with its VALUE.
"""

# Options for one's own data: name -> type. A settings file has the same names; paths in it are relative to the file.
_PATHS = ("data", "images", "depth", "val_data", "val_images", "output")
_SETTINGS: dict[str, type] = {
    **dict.fromkeys(_PATHS, str),
    **dict.fromkeys(("model", "weights", "method", "device"), str),
    **dict.fromkeys(("val_share", "epochs"), float),
    **dict.fromkeys(("split_seed", "batch_size", "size", "iterations", "num_gpus"), int),
    "overrides": dict,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    own = parser.add_argument_group("your own data").add_argument
    own("--data", type=Path, metavar="PATH", help="COCO json of boxes, YOLO's data.yaml, or a Pascal VOC folder")
    own("--images", type=Path, metavar="DIR", help="folder of the images (YOLO and VOC know theirs)")
    own("--depth", type=Path, metavar="DIR", help="folder of depth maps, made by depthbox depth (default: none)")
    own("--val-data", type=Path, metavar="PATH", help="annotations to test on, in the same format")
    own("--val-images", type=Path, metavar="DIR", help="their images")
    own("--val-share", type=float, metavar="X", help="without --val-data: share of images to test on (default 0.1)")
    own("--split-seed", type=int, metavar="N", help="of that choice and of the training (default 0)")
    own("--model", metavar="NAME", help="R_50 (default on a GPU), R_101, R_101_DCN, Swin_T, Swin_B, efficientnet_lite0")
    own("--weights", metavar="FILE", help="to start from: a file, timm, package:NAME or none (default: the model's)")
    own("--method", metavar="M", help="boxinst or depthbox (default: depthbox with --depth)")
    own("--device", metavar="D", help="cuda or cpu (default: cuda where there is one)")
    own("--batch-size", type=int, metavar="N", help="images an iteration, over all GPUs")
    own("--size", type=int, metavar="N", help="short side of the network's input in pixels")
    own("--epochs", type=float, metavar="X", help="how often each image is seen")
    own("--iterations", type=int, metavar="N", help="length of the training; the whole schedule follows")
    own("--output", type=Path, metavar="DIR", help="folder of the run (default output/<name of the data>)")
    own("--settings", type=Path, metavar="FILE", help="YAML with any of these options; the command line wins")
    own("--no-check", action="store_true", help="do not look for errors in the data first")
    own("--dry-run", action="store_true", help="prepare the data, show the plan, do not train")
    add_run_arguments(parser.add_argument_group("every training"))
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="settings of the config that win over all")


def add_run_arguments(parser: argparse._ActionsContainer) -> None:
    """Add the options that tools/train_net.py has as well: the config file, and the processes."""
    add = parser.add_argument
    add("--config-file", default="", metavar="FILE", help="YAML file with the settings of the run")
    add("--resume", action="store_true", help="go on from the newest checkpoint in OUTPUT_DIR")
    add("--num-gpus", type=int, metavar="N", help="processes on this machine; on the CPU as well (default 1)")
    add("--num-machines", type=int, default=1, metavar="N", help="machines in all (default 1)")
    add("--machine-rank", type=int, default=0, metavar="N", help="number of this machine, from 0")
    add("--dist-url", default="auto", metavar="URL", help="where processes meet, tcp://host:port")


def launch_run(arguments: argparse.Namespace, cfg: CfgNode, main: Callable[[], Any], num_gpus: int | None) -> None:
    """Start ``main`` in every process that the options ask for.

    Raises:
        ValueError: processes that the machine cannot have, an image that cannot be read, a loss that is not finite.
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
    except (SampleError, FloatingPointError) as error:  # their messages say what to do
        raise ValueError(str(error)) from error


def run(arguments: argparse.Namespace) -> int:
    """Train; returns the exit status.

    Raises:
        ValueError, OSError, ImportError: a mistake in the options, the config or the data.
    """
    from ..engine.run import run

    options = merge_settings(arguments)
    words = [*_words(options.get("overrides") or {}), *arguments.overrides]
    main = not int(os.environ.get("RANK", "0")) and not arguments.machine_rank
    cfg = _own_config(arguments, options, words, main) if "data" in options else _file_config(arguments, options, words)
    if arguments.dry_run:
        return 0
    job = functools.partial(run, cfg, resume=arguments.resume, command=shlex.join(sys.argv))
    launch_run(arguments, cfg, job, options.get("num_gpus"))
    if main:
        print(next_steps(cfg.OUTPUT_DIR))
    return 0


def merge_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the settings file and the command line say; options that neither names are left out.

    Raises:
        ValueError: a settings file that is missing, broken, or names an unknown option or a value of the wrong type.
    """
    given = {name: getattr(arguments, name, None) for name in _SETTINGS if name != "overrides"}
    settings = _read_settings(arguments.settings) if arguments.settings else {}
    return {**settings, **{name: value for name, value in given.items() if value is not None}}


def next_steps(output: str) -> str:
    """What to do with a finished run."""
    folder = shlex.quote(str(output))
    config = f"--config-file {folder}/config.yaml"
    return f"next:  depthbox eval --run {folder}\n       depthbox visualize {config} --weights {folder}/model_final.pth"


def _own_config(arguments: argparse.Namespace, options: Mapping[str, Any], words: list[str], main: bool) -> CfgNode:
    from ..custom_data.plan import configure_own, table

    if arguments.config_file:
        raise ValueError("--data makes its own config: leave out --config-file, or give keys as KEY VALUE")
    processes = int(os.environ.get("WORLD_SIZE", options.get("num_gpus", 1) * arguments.num_machines))
    training = _own_training(options, processes)
    own_run = configure_own(training, words, check=not (arguments.no_check or arguments.resume))
    if main:
        print(table(own_run), flush=True)
    return own_run.cfg


def _own_training(options: Mapping[str, Any], processes: int) -> OwnTraining:
    from ..custom_data.plan import OwnTraining
    from ..custom_data.prepare import OwnData

    paths = {name: Path(options[name]) for name in _PATHS if name in options}
    data = paths["data"]
    own = OwnData(
        data=data,
        **{name: paths.get(name) for name in ("images", "depth", "val_data", "val_images")},
        val_share=options.get("val_share", 0.1),
        seed=options.get("split_seed", 0),
    )
    name = data.parent.resolve().name if data.stem == "data" else data.stem
    for option in ("batch_size", "size", "epochs", "iterations", "num_gpus"):
        if options.get(option, 1) <= 0:
            raise ValueError(f"--{option.replace('_', '-')} is {options[option]}, it must be more than 0")
    return OwnTraining(
        own,
        output=str(paths.get("output", Path("output") / name)),
        **{name: options.get(name, "") for name in ("model", "weights", "method", "device")},
        batch=options.get("batch_size", 0),
        **{name: options.get(name, 0) for name in ("size", "epochs", "iterations")},
        processes=processes,
    )


def _file_config(arguments: argparse.Namespace, options: Mapping[str, Any], words: list[str]) -> CfgNode:
    from .. import add_depthbox_config
    from ..config import load_config

    if not arguments.config_file:
        raise ValueError("name your boxes with --data (and --images), or a config with --config-file")
    foreign = [name for name in options if name not in ("num_gpus", "overrides")]
    if foreign:
        option = foreign[0].replace("_", "-")
        raise ValueError(f"--{option} goes with --data; with --config-file give KEY VALUE (OUTPUT_DIR, MODEL.WEIGHTS)")
    return load_config(add_depthbox_config, arguments.config_file, words)


def _read_settings(path: Path) -> dict[str, Any]:
    import difflib

    import yaml

    if not path.is_file():
        raise ValueError(f"there is no settings file {path}; correct --settings")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"the settings file {path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"the settings file {path} must hold lines like 'data: boxes.json'")
    settings = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name not in _SETTINGS:
            near = difflib.get_close_matches(name, _SETTINGS, n=1)
            raise ValueError(
                f"{path}: there is no option '{key}'; {f'did you mean {near[0]}' if near else 'see --help'}?"
            )
        wanted = _SETTINGS[name]
        fits = isinstance(value, (int, float) if wanted is float else wanted) and not isinstance(value, bool)
        if not fits:
            raise ValueError(f"{path}: {key} is {value!r}, not a {wanted.__name__}")
        settings[name] = path.parent / os.path.expanduser(value) if name in _PATHS else value
    return settings


def _words(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    """KEY VALUE words of the settings file's overrides, nested or dotted."""
    words = []
    for key, value in tree.items():
        if isinstance(value, dict):
            words += _words(value, f"{prefix}{key}.")
        else:
            words += [f"{prefix}{key}", value if isinstance(value, str) else repr(value)]
    return words
