"""``depthbox predict``: what is read, which network predicts, and what is written."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..inference.pipeline import PredictionSummary

SUMMARY = "Find the objects in images, videos or a camera, with masks."
USAGE = "%(prog)s INPUT [INPUT ...] --weights FILE [options]"
EXAMPLES = """
examples:
  a folder:             %(prog)s photos --weights run/model_final.pth
  files and patterns:   %(prog)s a.jpg 'more/*.png' --weights W
  a video:              %(prog)s clip.mp4 --weights W --batch 4
  the first camera:     %(prog)s 0 --weights W    (until Ctrl-C)
  another folder:       ... --output found
  cut-outs, no json:    ... --cutouts --no-json
  surer objects only:   ... --threshold 0.6
  depth as colour:      ... --color-by depth
  on the CPU:           ... --set MODEL.DEVICE cpu

Written into --output: overlays/ (an image for an image, a video for a video),
predictions.json (COCO, with scores, masks as RLE, and instance depth where the
network predicts it), cutouts/ (PNG with a transparent background).
The config of the training is taken from beside the weights (config.yaml).
Exit status: 0 all read, 1 some images could not be read, 2 a mistake in the
call, 130 stopped by Ctrl-C.
"""
MAX_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="images, videos, folders, patterns, or the number of a camera")
    add("--weights", required=True, metavar="FILE", help="checkpoint to predict with")
    add("--config-file", default="", metavar="FILE", help="of its training (default: config.yaml beside it)")
    add("--output", type=Path, default=Path("predictions"), metavar="DIR", help="folder (default %(default)s)")
    add("--batch", type=int, default=1, metavar="N", help="images predicted at a time (default %(default)s)")
    add("--threshold", type=float, default=0.4, metavar="S", help="least score of an object (default %(default)s)")
    add("--size", type=int, default=0, metavar="N", help="short side of the network's input (default: the config's)")
    add("--classes", default="", metavar="NAMES", help="a COCO json, a text file, or names with commas between")
    add("--color-by", default="class", choices=("class", "instance", "depth"), help="(default %(default)s)")
    add("--cutouts", action="store_true", help="write each object as a PNG with a transparent background")
    add("--no-overlays", action="store_true", help="write no pictures and videos with masks")
    add("--no-json", action="store_true", help="write no predictions.json")
    add("--max-frames", type=int, metavar="N", help="read so many frames of a video or camera at most")
    add("--set", nargs="+", default=[], metavar="KEY VALUE", dest="overrides", help="settings that win over the config")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError where a number is out of range, or nothing would be written."""
    if arguments.batch < 1:
        raise ValueError(f"--batch must be 1 or more, not {arguments.batch}")
    if not 0 <= arguments.threshold <= 1:
        raise ValueError(f"--threshold is a score between 0 and 1, not {arguments.threshold:g}")
    if arguments.size < 0 or 0 < arguments.size < 32:
        raise ValueError(f"--size is a number of pixels, 32 or more, not {arguments.size}")
    if arguments.max_frames is not None and arguments.max_frames < 1:
        raise ValueError(f"--max-frames must be 1 or more, not {arguments.max_frames}")
    if arguments.no_overlays and arguments.no_json and not arguments.cutouts:
        raise ValueError("nothing to write: leave out --no-overlays or --no-json, or add --cutouts")


def run(arguments: argparse.Namespace) -> int:
    """Predict, print what was written and what could not be read; returns the exit status.

    Raises:
        ValueError, OSError: a mistake in the options, the config or the files.
    """
    from .. import add_depthbox_config
    from ..config import load_config
    from ..inference.classes import find_classes
    from ..inference.pipeline import PredictionSettings, predict_sources
    from ..inference.predictor import find_config, load_batch_predictor
    from ..io.media import find_sources

    check_arguments(arguments)
    sources = find_sources(arguments.inputs)
    config_file = find_config(arguments.weights, arguments.config_file)
    cfg = load_config(add_depthbox_config, config_file, arguments.overrides)
    if arguments.color_by == "depth" and not cfg.MODEL.DEPTH.LAYER:
        raise ValueError("the network predicts no depth (MODEL.DEPTH.LAYER is False): use another --color-by")
    settings = PredictionSettings(
        output=arguments.output,
        batch=arguments.batch,
        threshold=arguments.threshold,
        overlays=not arguments.no_overlays,
        json=not arguments.no_json,
        cutouts=arguments.cutouts,
        color_by=arguments.color_by,
        max_frames=arguments.max_frames,
    )
    classes = find_classes(cfg, arguments.classes)
    predict = load_batch_predictor(cfg, arguments.weights, arguments.size)
    summary = predict_sources(sources, predict, classes, settings)
    return tell(summary, arguments.output)


def tell(summary: PredictionSummary, output: Path) -> int:
    """Print what was written and what could not be read; returns the exit status."""
    print(f"{summary.objects} objects in {summary.pictures} images")
    for path in summary.files[:MAX_SHOWN]:
        print(path)
    if len(summary.files) > MAX_SHOWN:
        print(f"... and {len(summary.files) - MAX_SHOWN} more in {output}")
    for line in summary.failures:
        print(f"not read: {line}", file=sys.stderr)
    if summary.stopped:
        print("stopped; what was predicted until then is written", file=sys.stderr)
        return 130
    return 1 if summary.failures else 0
