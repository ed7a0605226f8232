#!/usr/bin/env python3
"""Draw images of a dataset: ``depthbox visualize``."""

from __future__ import annotations

import argparse
import sys

from depthbox.cli import visualize
from depthbox.cli.main import call, parse


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse a command line; None = that of this process."""
    return parse(visualize, argv)


def main(argv: list[str] | None = None) -> int:
    """Draw the sheets and print their paths; return the exit status."""
    return call(visualize, argv)


if __name__ == "__main__":
    sys.exit(main())
