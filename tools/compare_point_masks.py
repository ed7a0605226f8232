#!/usr/bin/env python3
"""Compare masks from points with the ground truth: baselines without learning, and files of depthbox label."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from depthbox.cli.main import add_debug, run_tool
from depthbox.experiments.points.baselines import BASELINES
from depthbox.experiments.points.compare import SQUARE, PointFiles, choose_methods, compare_masks, format_comparison
from depthbox.io.files import atomic_open

EXAMPLES = f"""
baselines: {", ".join((SQUARE, *BASELINES))}

examples:
  tools/compare_point_masks.py --json points.json --images photos --truth instances.json
  ... --labels P2Seg=output/points/labels.json --baselines "Otsu, nearest point"

The objects of --json and --truth are matched by their annotation ids. Masks and boxes of --json are not used.
"""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line (None: that of this process)."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--json", required=True, type=Path, metavar="FILE", help="annotations with points")
    add("--images", required=True, type=Path, metavar="DIR", help="folder of the images")
    add("--truth", required=True, type=Path, metavar="FILE", help="COCO JSON file with the masks of the same objects")
    add("--depth", type=Path, metavar="DIR", help="folder of depth maps (default: none)")
    add("--labels", nargs="*", default=[], metavar="NAME=FILE", help="files of depthbox label to measure as well")
    add("--baselines", nargs="*", metavar="NAME", help="baselines to compute (default: all; none after a bare option)")
    add("--output", type=Path, metavar="FILE", help="JSON file for the results")
    add_debug(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Compare and print.

    Raises:
        ValueError, OSError: an option or a file is invalid.
    """
    arguments = parse_arguments(argv)
    logging.basicConfig(level=logging.WARNING)
    labels = {}
    for text in arguments.labels:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise ValueError(f"--labels {text}: give NAME=FILE, such as P2Seg=labels.json")
        labels[name] = Path(path)
    methods = choose_methods(arguments.baselines) if arguments.baselines != [] else []
    files = PointFiles(arguments.json, arguments.images, arguments.truth, arguments.depth, labels)
    compared = compare_masks(files, methods)
    if arguments.output:
        content = {entry.name: entry.to_figures() for entry in compared}
        with atomic_open(arguments.output, tidy=True) as file:
            file.write((json.dumps(content, indent=2) + "\n").encode())
    print(format_comparison(compared))


if __name__ == "__main__":
    sys.exit(run_tool(main))
