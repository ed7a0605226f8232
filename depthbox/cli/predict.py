"""``depthbox predict``: detection of objects in images, videos or the stream of a camera."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import show

if TYPE_CHECKING:
    from ..inference.pipeline import PredictionSettings, PredictionSummary

SUMMARY = "Find objects with masks in images, videos or a camera."
USAGE = "%(prog)s INPUT [INPUT ...] --weights FILE [options]"
EXAMPLES = """
examples:
  a folder:             %(prog)s photos --weights run/model_final.pth
  files and patterns:   %(prog)s a.jpg 'more/*.png' --weights W
  a video:              %(prog)s clip.mp4 --weights W --batch 4
  the first camera:     %(prog)s 0 --weights W    (until Ctrl-C)
  output folder:        ... --output found
  cut-outs, no JSON:    ... --cutouts --no-json
  higher scores only:   ... --threshold 0.6
  color by depth:       ... --color-by depth
  on the CPU:           ... --set MODEL.DEVICE cpu

The output folder contains overlays/ (one image or video per input),
predictions.json (COCO, with scores, masks as RLE, and the depth of objects if
the network predicts it), cutouts/ (PNG files with a transparent background)
and prediction_info.json, by which a repeated command finds that it is done.
The config of the training run is config.yaml beside the weights.
Exit status: 0 all inputs were read, 1 some could not be read, 2 wrong options
or files, 130 stopped by Ctrl-C.
"""
MAX_FILES = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="images, videos, folders, patterns, or the number of a camera")
    add("--weights", required=True, metavar="FILE", help="checkpoint of the network")
    add("--config-file", default="", metavar="FILE", help="config of the training run (default: beside the weights)")
    add("--output", type=Path, default=Path("predictions"), metavar="DIR", help="output folder (default %(default)s)")
    add("--batch", type=int, default=1, metavar="N", help="batch size (default %(default)s)")
    add("--threshold", type=float, default=0.4, metavar="S", help="score threshold (default %(default)s)")
    add("--size", type=int, default=0, metavar="N", help="shorter side of the network's input (default: the config's)")
    add("--classes", default="", metavar="NAMES", help="COCO JSON file, text file, or names separated by commas")
    add("--color-by", default="class", choices=("class", "instance", "depth"), help="default %(default)s")
    add("--cutouts", action="store_true", help="write each object as a PNG file with a transparent background")
    add("--no-overlays", action="store_true", help="do not write images and videos with masks")
    add("--no-json", action="store_true", help="do not write predictions.json")
    add("--max-frames", type=int, metavar="N", help="limit of the frames of each video or camera")
    add("--set", nargs="+", default=[], metavar="KEY VALUE", dest="overrides", help="config keys to override")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError if a number is out of range, or nothing would be written."""
    if arguments.batch < 1:
        raise ValueError(f"--batch must be 1 or more, not {arguments.batch}")
    if not 0 <= arguments.threshold <= 1:
        raise ValueError(f"--threshold must be a score between 0 and 1, not {arguments.threshold:g}")
    if arguments.size < 0 or 0 < arguments.size < 32:
        raise ValueError(f"--size must be 32 pixels or more, not {arguments.size}")
    if arguments.max_frames is not None and arguments.max_frames < 1:
        raise ValueError(f"--max-frames must be 1 or more, not {arguments.max_frames}")
    if arguments.no_overlays and arguments.no_json and not arguments.cutouts:
        raise ValueError("nothing to write: omit --no-overlays or --no-json, or add --cutouts")


def run(arguments: argparse.Namespace) -> int:
    """Predict and print a summary; returns the exit status.

    Raises:
        ValueError, OSError: wrong options, config or files.
    """
    from .. import add_depthbox_config
    from ..config import load_config
    from ..inference.classes import find_classes
    from ..inference.finished import (
        RECORD,
        describe_prediction_shortage,
        find_finished,
        occupy_output,
        prediction_fingerprint,
        write_record,
    )
    from ..inference.pipeline import predict_sources
    from ..inference.predictor import find_config, load_batch_predictor
    from ..io.media import find_sources
    from ..io.pages import describe_pages

    check_arguments(arguments)
    sources = find_sources(arguments.inputs)
    if pages := describe_pages("", [source.path for source in sources if source.kind == "image"]):
        show(pages, error=True)
    config_file = find_config(arguments.weights, arguments.config_file)
    cfg = load_config(add_depthbox_config, config_file, arguments.overrides)
    if arguments.color_by == "depth" and not cfg.MODEL.DEPTH.LAYER:
        raise ValueError("the network does not predict depth (MODEL.DEPTH.LAYER is False): use another --color-by")
    classes = find_classes(cfg, arguments.classes)
    settings = read_settings(arguments)
    job = prediction_fingerprint(cfg, arguments.weights, sources, classes, settings, arguments.size)
    if finished := find_finished(settings.output, job):
        show(f"{finished.objects} objects in {finished.images} images, predicted by an earlier call: {settings.output}")
        show(f"The inputs and options are the same; remove {settings.output / RECORD} to predict again.")
        return 0
    predict = load_batch_predictor(cfg, arguments.weights, arguments.size)
    with occupy_output(settings.output):
        if warning := describe_prediction_shortage(sources, settings):
            show(f"warning: {warning}", error=True)
        summary = predict_sources(sources, predict, classes, settings)
        write_record(settings.output, job, summary)
    return print_summary(summary, arguments.output)


def read_settings(arguments: argparse.Namespace) -> PredictionSettings:
    """Convert the options to the settings of the prediction."""
    from ..inference.pipeline import PredictionSettings

    return PredictionSettings(
        output=arguments.output,
        batch=arguments.batch,
        threshold=arguments.threshold,
        overlays=not arguments.no_overlays,
        json=not arguments.no_json,
        cutouts=arguments.cutouts,
        color_by=arguments.color_by,
        max_frames=arguments.max_frames,
    )


def print_summary(summary: PredictionSummary, output: Path) -> int:
    """Print the written files and the inputs that could not be read; returns the exit status."""
    show(f"{summary.objects} objects in {summary.images} images")
    for path in summary.files[:MAX_FILES]:
        show(path)
    if len(summary.files) > MAX_FILES:
        show(f"... and {len(summary.files) - MAX_FILES} more in {output}")
    for line in summary.failures:
        show(f"not read: {line}", error=True)
    if summary.failures:
        show(f"{len(summary.failures)} inputs could not be read", error=True)
    if summary.stopped:
        show("stopped; the predictions until then are written", error=True)
        return summary.status
    return 1 if summary.failures else 0
