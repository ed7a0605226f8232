#!/usr/bin/env python
"""Convert a split of PASCAL VOC 2012, in its official folders, to a COCO JSON file for training and evaluation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depthbox.cli.main import add_debug, run_tool
from depthbox.data.voc.convert import convert_voc
from depthbox.data.voc.folder import SPLITS

EPILOG = """examples:
  convert_voc.py datasets/VOCdevkit/VOC2012 --split val --output datasets/voc/instances_val.json
  convert_voc.py datasets/VOCdevkit/VOC2012 --split train_aug --sbd datasets/sbd/benchmark_RELEASE/dataset \\
      --output datasets/voc/instances_train_aug.json

The image folder to register with the JSON file is ROOT/JPEGImages. train_aug.txt in ROOT/ImageSets/Segmentation
lists the 10,582 training images of VOC and SBD. See docs/voc.md."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line (None: that of this process)."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder that contains JPEGImages and ImageSets")
    parser.add_argument("--split", choices=SPLITS, required=True, help="list in ImageSets/Segmentation")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json", help="JSON file to write")
    parser.add_argument(
        "--sbd", type=Path, metavar="DIR", help="folder of SBD with inst/*.mat, for images that VOC does not annotate"
    )
    parser.add_argument(
        "--boxes-only", action="store_true", help="write boxes without masks, for box-supervised training"
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
    report = convert_voc(
        args.root,
        args.split,
        args.output,
        sbd=args.sbd,
        boxes_only=args.boxes_only,
        workers=args.workers,
        progress=True,
    )
    print(report)
    print(f"written to {args.output}; register it with the image folder {report.image_root}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
