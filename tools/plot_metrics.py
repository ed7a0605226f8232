#!/usr/bin/env python3
"""Draw the curves of a training run: losses, mask fill, pseudo labels, AP."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depthbox.cli.main import add_debug, run_tool
from depthbox.visualization.curves import find_teacher_start, group_by_panel, read_metrics, save_curves

EXAMPLES = """
examples:
  tools/plot_metrics.py output/r50
  tools/plot_metrics.py output/r50 --output r50.png
"""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse a command line; None = that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="OUTPUT_DIR of a training run, or its metrics.json")
    parser.add_argument("--output", type=Path, metavar="FILE", help="PNG to write (default: RUN/curves.png)")
    add_debug(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Draw the curves and print the path of the PNG.

    Raises:
        ValueError, OSError: a file is missing, broken or cannot be written.
    """
    arguments = parse_arguments(argv)
    series = read_metrics(arguments.run)
    if not group_by_panel(series):
        raise ValueError(f"{arguments.run} has no losses, AP or times to draw; wait until training has written some")
    folder = arguments.run if arguments.run.is_dir() else arguments.run.parent
    output = arguments.output or folder / "curves.png"
    save_curves(series, output, find_teacher_start(series))
    print(output)


if __name__ == "__main__":
    sys.exit(run_tool(main))
