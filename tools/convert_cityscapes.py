#!/usr/bin/env python
"""Convert a split of Cityscapes, in its official folders, to a COCO JSON file for training and evaluation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depthbox.cli.main import add_debug, run_tool
from depthbox.data.cityscapes.convert import convert

EPILOG = """examples:
  convert_cityscapes.py datasets/cityscapes --split train --boxes-only --output datasets/cityscapes/boxes_train.json
  convert_cityscapes.py datasets/cityscapes --split val --output datasets/cityscapes/instances_val.json

The image folder to register with the JSON file is ROOT/leftImg8bit. A depth folder has the same subfolders
({split}/{city}/). See docs/cityscapes.md."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line (None: that of this process)."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder that contains leftImg8bit and gtFine")
    parser.add_argument("--split", choices=["train", "val"], required=True, help="split of the dataset")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json", help="JSON file to write")
    parser.add_argument(
        "--boxes-only", action="store_true", help="write boxes without masks, for box-supervised training"
    )
    parser.add_argument(
        "--min-area",
        type=int,
        metavar="PIXELS",
        help="mark objects with fewer visible pixels as ignored (iscrowd); default as in the official evaluation: "
        "100 for val, 0 for train",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="number of processes (default: 1)")
    add_debug(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Convert and print the counts; return the exit status.

    Raises:
        ValueError, OSError: files are missing or broken.
    """
    args = parse_arguments(arguments)
    report = convert(args.root, args.split, args.output, args.boxes_only, args.min_area, args.workers, progress=True)
    print(report)
    print(f"written to {args.output}; register it with the image folder {args.root / 'leftImg8bit'}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
