#!/usr/bin/env python3
"""Say in plain words what is wrong with a data set of boxes, before training: ``depthbox check``."""

from __future__ import annotations

import argparse
import sys

from depthbox.cli import check
from depthbox.cli.main import call, parse


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``argv`` None means that of this process."""
    return parse(check, argv)


def main(argv: list[str] | None = None) -> int:
    """Run; mistakes in the arguments end with one clear line."""
    return call(check, argv)


if __name__ == "__main__":
    sys.exit(main())
