#!/usr/bin/env python3
"""The whole road on the CPU: make scenes, train masks from boxes, test, and draw what was learnt.

Ends with the line DEMO box_AP=... mask_AP=... boxfill_AP=... seconds=..., where boxfill_AP is the mask AP of
the predicted masks' filled boxes: what masks must beat. The same is in summary.json, the masks in masks.png.
A demo that was stopped goes on where it was; a finished one starts over.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depthbox.config import ConfigError
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
    """Parse the command line; ``argv`` None means that of this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", type=Path, default=Path("output/demo"), metavar="DIR", help="folder (default output/demo)")
    add(
        "--config-file",
        default=str(CONFIG_FILE),
        metavar="FILE",
        help="of the training (default %(default)s)",
    )
    add("--iterations", type=int, default=0, metavar="N", help="of the training (default: the config's)")
    add("--train-images", type=int, metavar="N", help=f"scenes to learn from (default {TRAIN_IMAGES})")
    add("--val-images", type=int, metavar="N", help=f"scenes to test on (default {VAL_IMAGES})")
    add("--height", type=int, default=HEIGHT, metavar="N", help="of the scenes (default %(default)s)")
    add("--width", type=int, default=WIDTH, metavar="N", help="of the scenes (default %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="of scenes and training, 0 or more (default 0)")
    add("--quick", action="store_true", help="a few scenes and iterations, to see that all of it runs")
    arguments = parser.parse_args(argv)
    if arguments.iterations < 0 or arguments.seed < 0:
        parser.error("--iterations and --seed must be 0 or more")
    return arguments


def read_settings(arguments: argparse.Namespace) -> DemoSettings:
    """The demo that the command line describes; what it says itself wins over --quick."""
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
    """Run the demo and print its line last."""
    arguments = parse_arguments(argv)
    try:
        summary = run_demo(read_settings(arguments), arguments.output)
    except (ConfigError, FileExistsError) as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
    print(f"summary: {arguments.output / 'summary.json'}, masks: {arguments.output / 'masks.png'}")
    print(format_summary_line(summary), flush=True)


if __name__ == "__main__":
    main()
