"""``depthbox visualize``: which images are drawn, with what, into which files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detectron2.config import CfgNode

SUMMARY = "Draw images of a data set: boxes, masks, predictions, depth."
USAGE = "%(prog)s [options] [KEY VALUE ...]"
IMAGES_PER_SHEET = 16
EXAMPLES = """
examples:
  the data alone:          %(prog)s --config-file FILE
  a trained network:       ... --weights output/r50/model_final.pth
  24 others of them:       ... --count 24 --seed 1 --output output/look
  the training set:        ... --dataset coco_2017_train_depth
  chosen images, one PNG:  ... --ids 139 285 --columns 1 --output two.png
  unsure objects as well:  ... --weights W --score-threshold 0.1
  the teacher's labels:    ... --weights W --dataset my_train --pseudo-masks
  change a key:            ... MODEL.DEVICE cpu

Tiles of an image, from left to right: true boxes, with the outlines of the
true masks where there are any; with --weights the predicted masks, in the
colour of the true object that they lie on; colour edges: the share of each
pixel's neighbours that BoxInst takes for the same surface; pseudo depth, where
the data set has it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--config-file", default="", metavar="FILE", help="YAML file with the settings of the run")
    add("--weights", default="", metavar="FILE", help="checkpoint to predict with; without it only the data")
    add("--dataset", default="", metavar="NAME", help="data set to draw (default: the first of DATASETS.TEST)")
    add("--count", type=int, default=16, metavar="N", help="images, chosen at random (default 16)")
    add("--seed", "--split-seed", type=int, default=0, metavar="N", help="of the choice (default 0)")
    add("--ids", nargs="+", default=[], metavar="ID", help="these images; another option ends the list")
    add("--pseudo-masks", action="store_true", help="draw the masks that the teacher gives the true boxes instead")
    add(
        "--score-threshold",
        type=float,
        metavar="S",
        help="draw predictions from this score on (default 0.4; pseudo masks: MODEL.DISTILL.SCORE_THRESH)",
    )
    add("--columns", type=int, default=2, metavar="N", help="images side by side (default 2)")
    add(
        "--output",
        default="",
        metavar="PATH",
        help=f"a .png, or a folder for sheets of {IMAGES_PER_SHEET} images (default OUTPUT_DIR/visualize)",
    )
    add("overrides", nargs="*", metavar="KEY VALUE", help="settings that win over FILE")


def run(arguments: argparse.Namespace) -> int:
    """Draw the sheets and print their paths; returns the exit status.

    Raises:
        ValueError, OSError: a mistake in the options, the config or the files.
    """
    from .. import add_depthbox_config
    from ..config import load_config

    for path in draw(arguments, load_config(add_depthbox_config, arguments.config_file, arguments.overrides)):
        print(path)
    return 0


def draw(arguments: argparse.Namespace, cfg: CfgNode) -> list[Path]:
    """Draw what the command line asks for; returns the files written."""
    from tqdm import tqdm

    from ..data.datasets import register_from_config
    from ..data.loader import load_records
    from ..inference.predictor import load_predictor, load_pseudo_labeler
    from ..visualization import DatasetSheet, choose_records, make_sheet, save_sheet

    register_from_config(cfg)
    name = arguments.dataset or (cfg.DATASETS.TEST[0] if cfg.DATASETS.TEST else "")
    if not name:
        raise ValueError("no data set: name one with --dataset, or set DATASETS.TEST in the config")
    records = choose_records(load_records([name], filter_empty=False), arguments.count, arguments.ids, arguments.seed)
    predict, threshold = None, 0.4
    if arguments.pseudo_masks:
        if not arguments.weights:
            raise ValueError("--pseudo-masks needs a network: give --weights")
        predict, threshold = load_pseudo_labeler(cfg, arguments.weights), cfg.MODEL.DISTILL.SCORE_THRESH
    elif arguments.weights:
        predict = load_predictor(cfg, arguments.weights)
    if arguments.score_threshold is not None:
        threshold = arguments.score_threshold
    sheet = DatasetSheet(cfg, name, predict, columns=arguments.columns, score_threshold=threshold)
    output = Path(arguments.output or os.path.join(cfg.OUTPUT_DIR, "visualize"))
    single = output.suffix.lower() == ".png"
    per_sheet = len(records) if single else IMAGES_PER_SHEET
    written = []
    with tqdm(total=len(records), unit="image", desc=name) as progress:
        for first in range(0, len(records), per_sheet):
            tiles = []
            for record in records[first : first + per_sheet]:
                tiles += sheet.tiles(record)
                progress.update()
            path = output if single else output / f"{name}_{first // per_sheet + 1:02d}.png"
            save_sheet(make_sheet(tiles, sheet.columns, title=f"{name}  {arguments.weights}".strip()), path)
            written.append(path)
    return written
