"""``depthbox label``: which boxes, which network, and what is written."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..labeling.job import LabelSummary

SUMMARY = "Boxes in, masks out: each box of a COCO json gets its mask."
STOPPED = "stopped; the same command goes on where it was"
EXAMPLES = """
examples:
  label my boxes:        %(prog)s --json boxes.json --images photos \\
                         --weights output/my/model_final.pth --output masks.json
  outlines, not RLE:     ... --format polygons
  the 200 doubtful ones: ... --review 200   (masks_review/, worst first)
  how good is it:        ... --evaluate     (where the json has true masks)
  larger input:          ... --size 1200    (several sizes are averaged)
  faster:                ... --size 800 --no-mirror
  depth as well:         ... --depth depth
  on the CPU:            ... --set MODEL.DEVICE cpu

The output is the input with segmentation, area and score (the mask's quality,
0 to 1) in each annotation; ids stay. CVAT imports both formats, Label Studio
takes polygons. A stopped job goes on where it was: finished images are in
OUTPUT.partial.jsonl until all are. The config of the training is taken from
beside the weights (config.yaml).
Exit status: 0 all boxes labelled, 1 some images or boxes could not be, 2 a
mistake in the call, 130 stopped by Ctrl-C.
"""
MAX_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--json", required=True, type=Path, metavar="FILE", help="COCO json of the boxes")
    add("--images", required=True, type=Path, metavar="DIR", help="folder of the images")
    add("--weights", required=True, metavar="FILE", help="checkpoint of the network that labels")
    add("--output", required=True, type=Path, metavar="FILE", help="json to write")
    add("--config-file", default="", metavar="FILE", help="of the training (default: config.yaml beside the weights)")
    add("--format", default="rle", choices=("rle", "polygons"), help="of the masks (default %(default)s)")
    add(
        "--size",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="short sides of the network's input (default: that of the config's tests, and 1.5 times that)",
    )
    add("--no-mirror", action="store_true", help="do not average with the mirrored image: faster by half")
    add("--depth", type=Path, metavar="DIR", help="folder of the depth maps, to choose the masks by depth too")
    add("--review", type=int, default=0, metavar="N", help="draw the N most doubtful masks, worst first")
    add("--evaluate", action="store_true", help="compare with the masks that the json holds")
    add("--overwrite", action="store_true", help="replace the output where it exists")
    add("--set", nargs="+", default=[], metavar="KEY VALUE", dest="overrides", help="settings that win over the config")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError where a number is out of range."""
    if any(size < 32 for size in arguments.size):
        raise ValueError(f"--size is a number of pixels, 32 or more, not {min(arguments.size)}")
    if arguments.review < 0:
        raise ValueError(f"--review is a number of masks, not {arguments.review}")


def run(arguments: argparse.Namespace) -> int:
    """Label, write, and say what could not be labelled; returns the exit status.

    Raises:
        ValueError, OSError: a mistake in the options, the config or the files.
    """
    from .. import add_depthbox_config
    from ..config import load_config
    from ..inference.predictor import find_config
    from ..labeling.job import LabelJob, check_job, label_boxes
    from ..labeling.loading import job_word, load_box_labeler

    check_arguments(arguments)
    job = LabelJob(
        json_file=arguments.json,
        images=arguments.images,
        output=arguments.output,
        mask_format=arguments.format,
        overwrite=arguments.overwrite,
    )
    check_job(job)
    config_file = find_config(arguments.weights, arguments.config_file)
    cfg = load_config(add_depthbox_config, config_file, arguments.overrides)
    options = {"sizes": arguments.size, "mirror": not arguments.no_mirror, "depth": arguments.depth}
    label = load_box_labeler(cfg, arguments.weights, **options)
    job = job.named(job_word(cfg, arguments.weights, job, options))
    summary = label_boxes(job, label)
    print(told(summary, arguments))
    for line in summary.problems[:MAX_SHOWN]:
        print(f"not labelled: {line}", file=sys.stderr)
    if len(summary.problems) > MAX_SHOWN:
        print(f"not labelled: {len(summary.problems) - MAX_SHOWN} more", file=sys.stderr)
    return 1 if summary.problems else 0


def told(summary: LabelSummary, arguments: argparse.Namespace) -> str:
    """What is printed at the end; the review sheet and the evaluation are made for it."""
    from ..labeling.quality import evaluate_labels
    from ..labeling.review import review_labels

    lines = []
    if summary.continued:
        lines.append(f"{summary.continued} images were finished by an earlier call")
    if summary.started_over:
        lines.append("an unfinished job of other files or options was started over")
    lines.append(f"{len(summary.labels)} boxes labelled: {arguments.output}")
    if summary.empty:
        lines.append(f"{summary.empty} of them are empty: the network sees nothing there")
    if summary.boxes.crowds:
        lines.append(f"{summary.boxes.crowds} crowds (iscrowd 1) stay as they are")
    if arguments.review:
        folder = arguments.output.with_name(f"{arguments.output.stem}_review")
        lines += [f"review   {page}" for page in review_labels(summary, arguments.images, folder, arguments.review)]
    if arguments.evaluate:
        lines.append(str(evaluate_labels(summary.boxes, summary.labels)))
    return "\n".join(lines)
