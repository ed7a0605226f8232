#!/usr/bin/env python3
"""Estimate the depth of images and write it as training data: ``depthbox depth``."""

from __future__ import annotations

import argparse
import sys

from depthbox.cli import depth
from depthbox.cli.main import call, parse


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``argv`` None means that of this process."""
    return parse(depth, argv)


def main(argv: list[str] | None = None) -> int:
    """Run; mistakes in the arguments end with one clear line."""
    return call(depth, argv)


if __name__ == "__main__":
    sys.exit(main())
