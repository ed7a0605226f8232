#!/usr/bin/env python3
"""Measure the share of neighboring pixels of similar color or depth that have the same label."""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from depthbox.cli.main import add_debug, run_tool
from depthbox.data.datasets import load_coco_style
from depthbox.experiments.affinity.count import AffinitySettings, PairCounts, count_dataset
from depthbox.experiments.affinity.plot import save_affinity_plot
from depthbox.experiments.affinity.report import (
    LEGEND,
    encode_json,
    format_markdown,
    format_separation,
    format_summary,
    format_table,
)
from depthbox.io.files import atomic_open

DEFAULTS = AffinitySettings()
EPILOG = f"""
The dataset must have ground-truth masks, which box-supervised training does not use. Pairs are those of the pairwise
losses: on the mask grid, from every pixel in an object's box to its neighbors. Depth keeps a pair if
S_d = exp(-κ |Δd|) > τ_d (MODEL.DEPTH.SCALE, MODEL.DEPTH.THRESH), color if the similarity is at least τ
(MODEL.BOXINST.PAIRWISE.COLOR_THRESH).

{LEGEND}

example:
  tools/analyze_affinity.py --json datasets/synthetic/instances_val.json --images datasets/synthetic/val \\
    --depth datasets/synthetic/depth_val --output output/affinity

The results are written to DIR: affinity.md, affinity.json and affinity.png.
"""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line (None: that of this process)."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--json", required=True, metavar="FILE", help="COCO JSON file with segmentations")
    add("--images", required=True, metavar="DIR", help="folder of the images")
    add("--depth", default="", metavar="DIR", help="folder of the depth files; without it only color is measured")
    add("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    add("--max-images", type=int, default=0, metavar="N", help="number of images, from the first (default: all)")
    add(
        "--min-size",
        type=int,
        default=0,
        metavar="N",
        help="resize to this short side in pixels (default: no resizing)",
    )
    floats: dict[str, Any] = {"nargs": "+", "type": float}
    add("--color-thresholds", metavar="τ", default=DEFAULTS.color_thresholds, help="default 0.1 0.3 0.5", **floats)
    add("--depth-scales", metavar="κ", default=DEFAULTS.depth_scales, help="default 1 3 10 ... 1000", **floats)
    add("--depth-thresholds", metavar="τ_d", default=DEFAULTS.depth_thresholds, help="default 0.3 0.5 0.7", **floats)
    add(
        "--stride", type=int, default=DEFAULTS.stride, metavar="N", help="stride of the mask grid in pixels (default 4)"
    )
    add(
        "--dilation", type=int, default=DEFAULTS.dilation, metavar="N", help="dilation of the 3x3 neighbors (default 2)"
    )
    add(
        "--bottom-pixels-removed",
        type=int,
        default=0,
        metavar="N",
        help="pixel rows excluded at the bottom of each image (MODEL.BOXINST.BOTTOM_PIXELS_REMOVED)",
    )
    add_debug(parser)
    arguments = parser.parse_args(argv)
    if min(arguments.max_images, arguments.min_size) < 0:
        parser.error("--max-images and --min-size must be 0 or more")
    return arguments


def measure(arguments: argparse.Namespace) -> PairCounts:
    """Count the pairs of the dataset given on the command line."""
    settings = AffinitySettings(
        tuple(arguments.color_thresholds),
        tuple(arguments.depth_scales),
        tuple(arguments.depth_thresholds),
        stride=arguments.stride,
        dilation=arguments.dilation,
        bottom_pixels_removed=arguments.bottom_pixels_removed,
    )
    records = load_coco_style(arguments.json, arguments.json, arguments.images, arguments.depth)
    records = records[: arguments.max_images or None]
    return count_dataset(records, settings, arguments.min_size, functools.partial(tqdm, unit="image", desc="images"))


def main(argv: list[str] | None = None) -> None:
    """Measure, write and print.

    Raises:
        ValueError, OSError: a mistake in the arguments or files.
    """
    arguments = parse_arguments(argv)
    size = f"short side {arguments.min_size}" if arguments.min_size else "original size"
    name, output = Path(arguments.json).name, arguments.output
    pairs = measure(arguments)
    save_affinity_plot(pairs, output / "affinity.png", f"{name}, {size}: {format_summary(pairs)}")
    files = {
        "affinity.md": format_markdown(pairs, f"{name}, {size}").encode(),
        "affinity.json": encode_json(pairs, {"json": name, "min_size": arguments.min_size}),
    }
    for file_name, content in files.items():
        with atomic_open(output / file_name, tidy=True) as file:
            file.write(content)
    print(f"{name}, {size}\n{format_summary(pairs)}; values in percent\n\n{format_table(pairs)}\n")
    if pairs.has_depth:
        print(format_separation(pairs))
    print(f"{output}: affinity.md, affinity.json, affinity.png")


if __name__ == "__main__":
    sys.exit(run_tool(main))
