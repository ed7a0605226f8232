#!/usr/bin/env python3
"""Draw images of a dataset: ``depthbox visualize``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depthbox.cli import visualize
from depthbox.cli.main import parse


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse a command line; None = that of this process."""
    return parse(visualize, argv)


def main(argv: list[str] | None = None) -> None:
    """Draw the sheets and print their paths; exit with one line on a mistake in the arguments or files."""
    arguments = parse_arguments(argv)
    try:
        visualize.run(arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")


if __name__ == "__main__":
    main()
