#!/usr/bin/env python3
"""Compare three ways from boxes to masks: filled boxes, matched detections, and depthbox label."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

from depthbox import add_depthbox_config
from depthbox.cli.main import add_debug, run_tool
from depthbox.config import load_config
from depthbox.experiments.label_baseline import match_labeler
from depthbox.inference.predictor import build_batch_predictor, find_config, load_network
from depthbox.io.files import atomic_open
from depthbox.labeling.job import LabelJob, label_dataset
from depthbox.labeling.loading import default_sizes, load_annotations, load_box_labeler
from depthbox.labeling.review import MaskQuality, evaluate_labels

EXAMPLES = """
example:
  tools/compare_labels.py --json instances_val.json --images val --weights output/my/model_final.pth
"""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line (None: that of this process)."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--json", required=True, type=Path, metavar="FILE", help="COCO JSON file with boxes and ground-truth masks")
    add("--images", required=True, type=Path, metavar="DIR", help="folder of the images")
    add("--weights", required=True, metavar="FILE", help="checkpoint of the network")
    add(
        "--config-file",
        default="",
        metavar="FILE",
        help="config of the network (default: config.yaml beside the weights)",
    )
    add("--output", type=Path, metavar="FILE", help="JSON file for the results")
    add("--set", nargs="+", default=[], metavar="KEY VALUE", dest="overrides", help="settings that override the config")
    add_debug(parser)
    return parser.parse_args(argv)


def compare(arguments: argparse.Namespace) -> dict[str, MaskQuality]:
    """Measure the masks of each way, by its name.

    Raises:
        ValueError, OSError: an option, the config or a file is invalid.
    """
    cfg = load_config(add_depthbox_config, find_config(arguments.weights, arguments.config_file), arguments.overrides)
    found: dict[str, MaskQuality] = {}
    with tempfile.TemporaryDirectory() as folder:
        annotations = load_annotations(arguments.json, arguments.images)
        job = LabelJob(annotations, Path(folder) / "masks.json", overwrite=True)
        network = load_network(cfg, arguments.weights)
        ways = {
            f"detection at {size} pixels, matched": match_labeler(build_batch_predictor(cfg, network, size))
            for size in default_sizes(cfg)
        }
        ways["depthbox label"] = load_box_labeler(cfg, arguments.weights)
        for name, label in ways.items():
            summary = label_dataset(job, label)
            if summary.problems:
                raise ValueError(f"not labeled: {summary.problems[0]} ({len(summary.problems)} in total)")
            found[name] = evaluate_labels(annotations, summary.labels)
    return found


def format_table(found: dict[str, MaskQuality]) -> str:
    """Format the results as lines of text."""
    first = next(iter(found.values()))
    lines = [f"{first.count} masks{'':25}mean IoU  below 50 %", f"{'filled boxes':36}{100 * first.filled:8.1f}"]
    for name, quality in found.items():
        lines.append(f"{name:36}{100 * quality.masks:8.1f}{100 * quality.poor:8.1f} %")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Compare and print.

    Raises:
        ValueError, OSError: see ``compare``, or the results cannot be written.
    """
    arguments = parse_arguments(argv)
    logging.basicConfig(level=logging.WARNING)
    found = compare(arguments)
    if arguments.output:
        content = {name: vars(quality) for name, quality in found.items()}
        with atomic_open(arguments.output, tidy=True) as file:
            file.write((json.dumps(content, indent=2) + "\n").encode())
    print(format_table(found))


if __name__ == "__main__":
    sys.exit(run_tool(main))
