#!/usr/bin/env python3
"""Demo of the whole pipeline on the CPU: make scenes, train masks from boxes, evaluate, and draw the masks.

The last line is DEMO box_AP=... mask_AP=... boxfill_AP=... seconds=..., where boxfill_AP is the mask AP of the filled
boxes of the predicted masks, the lower bound for masks. The values are also in summary.json, the masks in masks.png.
A stopped demo is resumed; a finished one starts over.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depthbox.cli.main import add_debug, run_tool
from depthbox.experiments.demo import (
    HEIGHT,
    QUICK_ITERATIONS,
    QUICK_TRAIN_IMAGES,
    QUICK_VAL_IMAGES,
    TRAIN_IMAGES,
    VAL_IMAGES,
    WIDTH,
    DemoSettings,
    format_summary_line,
    run_demo,
)

CONFIG_FILE = Path(__file__).resolve().parents[1] / "configs" / "synthetic" / "boxinst_tiny.yaml"


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line (None: that of this process)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", type=Path, default=Path("output/demo"), metavar="DIR", help="folder (default output/demo)")
    add(
        "--config-file",
        default=str(CONFIG_FILE),
        metavar="FILE",
        help="config of the training run (default %(default)s)",
    )
    add(
        "--iterations",
        type=int,
        default=0,
        metavar="N",
        help="length of the training run (default: that of the config)",
    )
    add("--train-images", type=int, metavar="N", help=f"training scenes (default {TRAIN_IMAGES})")
    add("--val-images", type=int, metavar="N", help=f"test scenes (default {VAL_IMAGES})")
    add("--height", type=int, default=HEIGHT, metavar="N", help="height of the scenes (default %(default)s)")
    add("--width", type=int, default=WIDTH, metavar="N", help="width of the scenes (default %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="seed of scenes and training run, 0 or more (default 0)")
    add("--quick", action="store_true", help="a few scenes and iterations, as a test of the installation")
    add_debug(parser)
    arguments = parser.parse_args(argv)
    if arguments.iterations < 0 or arguments.seed < 0:
        parser.error("--iterations and --seed must be 0 or more")
    return arguments


def read_settings(arguments: argparse.Namespace) -> DemoSettings:
    """Return the settings of the command line; explicit options override --quick."""
    quick = arguments.quick
    return DemoSettings(
        config_file=arguments.config_file,
        train_images=arguments.train_images or (QUICK_TRAIN_IMAGES if quick else TRAIN_IMAGES),
        val_images=arguments.val_images or (QUICK_VAL_IMAGES if quick else VAL_IMAGES),
        height=arguments.height,
        width=arguments.width,
        iterations=arguments.iterations or (QUICK_ITERATIONS if quick else 0),
        seed=arguments.seed,
    )


def main(argv: list[str] | None = None) -> None:
    """Run the demo and print its summary line last.

    Raises:
        ValueError, OSError: a mistake in the options or the config, or a file that cannot be written.
    """
    arguments = parse_arguments(argv)
    summary = run_demo(read_settings(arguments), arguments.output)
    print(f"summary: {arguments.output / 'summary.json'}, masks: {arguments.output / 'masks.png'}")
    print(format_summary_line(summary), flush=True)


if __name__ == "__main__":
    sys.exit(run_tool(main))
