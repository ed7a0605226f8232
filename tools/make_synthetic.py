#!/usr/bin/env python
"""Write the synthetic dataset in COCO format with pseudo depth; run again to finish or extend it."""

from __future__ import annotations

import argparse
import sys

from depthbox.cli.main import add_debug, run_tool
from depthbox.data.derived_points.sampling import POINT_KINDS
from depthbox.data.synthetic.write import write_dataset


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--output", default="datasets/synthetic", help="folder to write to")
    add("--split", nargs="+", default=["train", "val"], help="names of the splits")
    add("--count", nargs="+", type=int, default=[2000, 200], help="images per split; one number, or one per split")
    add("--seed", type=int, default=0, help="any integer >= 0; splits never share scenes")
    add("--height", type=int, default=240, help="image height in pixels")
    add("--width", type=int, default=320, help="image width in pixels")
    add("--workers", type=int, default=2, help="number of processes")
    add("--depth-format", choices=["png", "npy"], default="png", help="file format of the depth")
    add("--points", choices=POINT_KINDS, help="add a point of this kind to each object (default: none)")
    add_debug(parser)
    return parser


def main(argv: list[str] | None = None) -> None:
    """Write each split and print its JSON file.

    Raises:
        ValueError, OSError: a number out of range, or a file that cannot be written.
    """
    parser = make_parser()
    args = parser.parse_args(argv)
    counts = args.count * len(args.split) if len(args.count) == 1 else args.count
    if len(counts) != len(args.split):
        parser.error(f"--count: expected one number, or one for each of {' '.join(args.split)}; got {args.count}")
    for split, count in zip(args.split, counts, strict=True):
        path = write_dataset(
            args.output,
            count,
            args.seed,
            args.height,
            args.width,
            split,
            args.workers,
            args.depth_format,
            progress=True,
            points=args.points,
        )
        print(path)


if __name__ == "__main__":
    sys.exit(run_tool(main))
