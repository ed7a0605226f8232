"""``depthbox report``: HTML page about a training run, finished or not."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import show

SUMMARY = "Write a page about a training run: curves, AP, best and worst images."
STOPPED = "stopped; no page was written, an older one is unchanged"
EXAMPLES = """
examples:
  page of a run:       %(prog)s output/boxes
  another file:        %(prog)s output/boxes --output boxes.html

A training run writes the page when it ends (REPORT.ENABLED). This command
writes it again, also for a run that still trains or was stopped. The page is
one file without external resources, so it can be sent by mail. Relative paths
of the config are searched in the working folder, then in the folders above RUN.
Exit status: 0 done, 2 wrong options or files.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a training run (OUTPUT_DIR)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="page to write (default: RUN/report.html)")


def run(arguments: argparse.Namespace) -> int:
    """Write the page, print its path and return the exit status.

    Raises:
        ValueError, OSError: not the folder of a training run, or broken files.
    """
    if arguments.output is not None and arguments.output.is_dir():
        raise ValueError(f"--output {arguments.output} is a folder; name a file, such as report.html in it")
    from ..checkpoint.run_files import find_run
    from ..io.write_errors import require_writable
    from ..reports.training import PAGE, write_report

    folder = find_run(arguments.run)
    require_writable(arguments.output or folder / PAGE)
    show(f"report  {write_report(folder, arguments.output)}")
    return 0
