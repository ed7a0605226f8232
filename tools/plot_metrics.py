#!/usr/bin/env python3
"""Draw the curves of a training: losses, how much of its box a mask fills, the teacher's labels, AP."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depthbox.visualization.curves import read_metrics, save_curves

EXAMPLES = """
examples:
  tools/plot_metrics.py output/r50
  tools/plot_metrics.py output/r50 --output r50.png
"""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``argv`` None means that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="OUTPUT_DIR of a training, or its metrics.json")
    parser.add_argument("--output", type=Path, metavar="FILE", help="PNG to write (default: RUN/curves.png)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Draw, and print the picture's path; a missing or broken file ends with one clear line."""
    arguments = parse_arguments(argv)
    try:
        series = read_metrics(arguments.run)
        folder = arguments.run if arguments.run.is_dir() else arguments.run.parent
        output = arguments.output or folder / "curves.png"
        labeled = series.get("distill/reliable")
        save_curves(series, output, {"teacher begins": labeled[0][0]} if labeled else {})
    except (ValueError, OSError) as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
    print(output)


if __name__ == "__main__":
    main()
