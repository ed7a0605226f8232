#!/usr/bin/env python3
"""Find problems of a dataset before training: ``depthbox check`` as a script."""

from __future__ import annotations

import argparse
import sys

from depthbox.cli import check
from depthbox.cli.main import call, parse


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``argv`` None = the arguments of this process."""
    return parse(check, argv)


def main(argv: list[str] | None = None) -> int:
    """Run the check and return the exit status."""
    return call(check, argv)


if __name__ == "__main__":
    sys.exit(main())
