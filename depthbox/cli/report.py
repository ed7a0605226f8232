"""``depthbox report``: the page about a training, made again or while it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "Write a page about a training: curves, AP, best and worst images."
STOPPED = "stopped; no page was written, an older one is as it was"
EXAMPLES = """
examples:
  a training's page:   %(prog)s output/boxes
  elsewhere:           %(prog)s output/boxes --output boxes.html

A training writes the page by itself when it ends (REPORT.ENABLED); this
command writes it again, or of a training that still runs or was stopped. The
page is one file that loads nothing: it can be sent by mail. Paths of the config
are looked for in the working folder, then upwards from RUN.
Exit status: 0 done, 2 a mistake.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a training (OUTPUT_DIR)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the page (default: RUN/report.html)")


def run(arguments: argparse.Namespace) -> int:
    """Write the page and print its path; returns the exit status.

    Raises:
        ValueError, OSError: no folder of a training, or its files are broken.
    """
    if arguments.output is not None and arguments.output.is_dir():
        raise ValueError(f"--output {arguments.output} is a folder; name a file, such as report.html in it")
    from ..reports.training import write_report

    print(f"report  {write_report(arguments.run, arguments.output)}")
    return 0
