#!/usr/bin/env python
"""Write class maps (PNG files) from the masks of a dataset, to measure the best that point supervision can reach."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depthbox.cli.main import add_debug, run_tool
from depthbox.data.class_maps.ground_truth import write_class_maps
from depthbox.data.datasets import read_annotation_file
from depthbox.io.annotations.canonical import canonicalize

EPILOG = """
Each map is named as its image but ends in .png: 0 background, 1 the first class
of the categories, 2 the second, ..., 255 unknown (crowds). The folder is the
fifth entry of DATASETS.COCO_STYLE. These maps contain the ground truth: results
of training with them are an upper bound, not results from points.

example:
  %(prog)s instances_train.json --output class_maps_train
"""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line (None: that of this process)."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="JSON", help="annotations with masks, COCO or another format")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the class maps")
    add_debug(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Write the maps and print their number; return the exit status.

    Raises:
        ValueError, OSError: the annotations cannot be used, or a file cannot be written.
    """
    arguments = parse_arguments(argv)
    annotations = canonicalize(read_annotation_file(str(arguments.data)), check_files=False)
    report = write_class_maps(annotations, arguments.output, progress=True)
    crowds = f", {report.crowds} crowds unknown" if report.crowds else ""
    print(f"{report.images} class maps of {report.objects} objects{crowds}: {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
