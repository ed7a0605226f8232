"""``depthbox visualize``: contact sheets of a dataset, with predictions, color edges and depth."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import printable, show

if TYPE_CHECKING:
    from detectron2.config import CfgNode

    from ..visualization import DatasetSheet

SUMMARY = "Draw images of a dataset: boxes, masks, predictions, depth."
USAGE = "%(prog)s [options] [KEY VALUE ...]"
IMAGES_PER_SHEET = 16
DEFAULT_THRESHOLD = 0.4
EXAMPLES = """
examples:
  the data alone:          %(prog)s --config-file FILE
  a trained network:       ... --weights output/r50/model_final.pth
  24 other images:         ... --count 24 --seed 1 --output output/look
  the training set:        ... --dataset coco_2017_train_depth
  chosen images, one PNG:  ... --ids 139 285 --columns 1 --output two.png
  low scores as well:      ... --weights W --score-threshold 0.1
  pseudo masks:            ... --weights W --dataset my_train --pseudo-masks
  change a key:            ... MODEL.DEVICE cpu

Each image has a row of tiles, from left to right:
  ground-truth boxes, with outlines of the masks if the dataset has masks
  with --weights: predicted masks, each in the color of the matched object
  color edges: share of each pixel's neighbors with a similar color (BoxInst)
  pseudo depth, if the dataset has depth maps
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--config-file", default="", metavar="FILE", help="YAML file with the settings of the run")
    add("--weights", default="", metavar="FILE", help="checkpoint to predict with (default: draw the data only)")
    add("--dataset", default="", metavar="NAME", help="dataset to draw (default: first test set, else training set)")
    add("--count", type=int, default=16, metavar="N", help="number of images, chosen at random (default 16)")
    add("--seed", "--split-seed", type=int, default=0, metavar="N", help="seed of the choice (default 0)")
    add("--ids", nargs="+", default=[], metavar="ID", help="ids of the images; another option ends the list")
    add("--pseudo-masks", action="store_true", help="draw the pseudo masks of the ground-truth boxes instead")
    add(
        "--score-threshold",
        type=float,
        metavar="S",
        help=f"minimum score of drawn predictions (default {DEFAULT_THRESHOLD}; pseudo masks: "
        "MODEL.DISTILL.SCORE_THRESH)",
    )
    add("--columns", type=int, default=2, metavar="N", help="images side by side (default 2)")
    add(
        "--output",
        default="",
        metavar="PATH",
        help=f"a .png, or a folder for sheets of {IMAGES_PER_SHEET} images (default OUTPUT_DIR/visualize)",
    )
    add("overrides", nargs="*", metavar="KEY VALUE", help="settings that override FILE")


def run(arguments: argparse.Namespace) -> int:
    """Draw the sheets, print their paths and return the exit status.

    Raises:
        ValueError, OSError: wrong options, config or files.
    """
    from .. import add_depthbox_config
    from ..config import load_config

    for path in draw(arguments, load_config(add_depthbox_config, arguments.config_file, arguments.overrides)):
        show(path)
    return 0


def draw(arguments: argparse.Namespace, cfg: CfgNode) -> list[Path]:
    """Draw the sheets of the command line and return their paths."""
    from ..data.datasets import register_from_config
    from ..data.loader import load_records
    from ..io.write_errors import require_writable
    from ..visualization import choose_records

    register_from_config(cfg)
    name = arguments.dataset or next(iter((*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)), "")
    if not name:
        raise ValueError("no dataset: name one with --dataset, or set DATASETS.TEST in the config")
    records = choose_records(load_records([name], filter_empty=False), arguments.count, arguments.ids, arguments.seed)
    sheet = _make_sheet(arguments, cfg, name)
    output = Path(arguments.output or os.path.join(cfg.OUTPUT_DIR, "visualize"))
    require_writable(output if output.suffix.lower() == ".png" else output / "sheet.png")
    return _save_sheets(sheet, records, output, name, f"{name}  {arguments.weights}".strip())


def _make_sheet(arguments: argparse.Namespace, cfg: CfgNode, name: str) -> DatasetSheet:
    from ..inference.predictor import load_predictor, load_pseudo_labeler
    from ..visualization import DatasetSheet

    predict, threshold = None, DEFAULT_THRESHOLD
    if arguments.pseudo_masks:
        if not arguments.weights:
            raise ValueError("--pseudo-masks needs a trained network: give --weights")
        predict, threshold = load_pseudo_labeler(cfg, arguments.weights), cfg.MODEL.DISTILL.SCORE_THRESH
    elif arguments.weights:
        predict = load_predictor(cfg, arguments.weights)
    if arguments.score_threshold is not None:
        threshold = arguments.score_threshold
    return DatasetSheet(cfg, name, predict, columns=arguments.columns, score_threshold=threshold)


def _save_sheets(sheet: DatasetSheet, records: list[Any], output: Path, name: str, title: str) -> list[Path]:
    """Write the images into one PNG, or into sheets of a folder, and return the files."""
    from tqdm import tqdm

    from ..visualization import make_sheet, save_sheet

    single = output.suffix.lower() == ".png"
    per_sheet = len(records) if single else IMAGES_PER_SHEET
    written = []
    with tqdm(total=len(records), unit="image", desc=printable(name)) as progress:
        for first in range(0, len(records), per_sheet):
            tiles = []
            for record in records[first : first + per_sheet]:
                tiles += sheet.tiles(record)
                progress.update()
            path = output if single else output / f"{name}_{first // per_sheet + 1:02d}.png"
            save_sheet(make_sheet(tiles, sheet.columns, title=title), path)
            written.append(path)
    return written
