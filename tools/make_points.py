#!/usr/bin/env python
"""Derive one point per object from the masks of a dataset, to study supervision by points."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depthbox.cli.main import add_debug, run_tool
from depthbox.data.derived_points.content import KEEP, DerivedPoints, PointSettings, derive_points
from depthbox.data.derived_points.sampling import POINT_KINDS
from depthbox.io.annotations.canonical import canonicalize, repaired_coco, write_coco
from depthbox.io.annotations.detect import read_annotation_file

EPILOG = """
kinds of points:
  random   each pixel of the mask is equally likely
  center   the pixel farthest from the border of the mask
  biased   drawn, with the squared distance to the border as weight

examples:
  points alone:                   %(prog)s boxes.json --output points.json
  points beside boxes:            ... --keep boxes
  a tenth off the object:         ... --off-object 0.1
  a third each of masks, boxes, points:
                                  ... --shares 1 1 1

The draws of an image depend on the seed and the id of the image only.
Crowds and objects without a mask are left out.
"""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", type=Path, metavar="JSON", help="annotations with masks, COCO or another format")
    add("--output", type=Path, required=True, metavar="FILE", help="JSON file to write")
    add("--kind", choices=POINT_KINDS, default="random", help="place of the points (default %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="seed of the draws (default %(default)s)")
    add(
        "--off-object",
        type=float,
        default=0.0,
        metavar="X",
        help="share of the points that are moved just off their object (default 0)",
    )
    add("--keep", choices=KEEP, default="none", help="annotation that stays beside the points (default %(default)s)")
    add(
        "--shares",
        type=float,
        nargs=3,
        metavar=("MASKS", "BOXES", "POINTS"),
        help="relative numbers of objects with a mask, a box or a point alone (default: all have a point)",
    )
    add_debug(parser)
    return parser.parse_args(arguments)


def make_points(data: Path, settings: PointSettings) -> DerivedPoints:
    """Read annotations and derive their points.

    Raises:
        ValueError: the annotations cannot be read, or no object has a mask.
    """
    content = repaired_coco(canonicalize(read_annotation_file(str(data)), check_files=False))
    try:
        return derive_points(content, settings)
    except ValueError as error:
        raise ValueError(f"{data}: {error}") from error


def describe(derived: DerivedPoints) -> str:
    """Return the numbers of objects in words."""
    numbers = {
        "objects with a mask": derived.masks,
        "objects with a box": derived.boxes,
        "points": derived.points,
        "points off their object": derived.moved,
        "crowds left out": derived.crowds,
        "objects without a mask left out": derived.without_mask,
    }
    shown = [f"{number} {noun}" for noun, number in numbers.items() if number or noun == "points"]
    return ", ".join([f"{len(derived.content['images'])} images", *shown])


def main(arguments: list[str] | None = None) -> int:
    """Write the file of points; return the exit status.

    Raises:
        ValueError, OSError: wrong options, see ``make_points``, or the file cannot be written.
    """
    args = parse_arguments(arguments)
    settings = PointSettings(args.kind, args.seed, args.off_object, args.keep, args.shares and tuple(args.shares))
    if args.output.resolve() == args.data.resolve():
        raise ValueError(f"--output {args.output} would overwrite the annotations: give it another name")
    derived = make_points(args.data, settings)
    write_coco(derived.content, args.output)
    print(f"{args.output}: {describe(derived)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
