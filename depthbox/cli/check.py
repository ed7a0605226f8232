"""``depthbox check``: the options of ``depthbox.data.check.check``, and what is printed and written."""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..data.check.check import CheckReport

SUMMARY = "Say what is wrong with a data set of boxes, before training."
STOPPED = "stopped; nothing was changed"
EXAMPLES = """
examples:
  boxes and images:     %(prog)s --json boxes.json --images photos
  depth maps as well:   ... --depth depth
  pictures of cases:    ... --output look   (a page: look/index.html)
  for programs, CI:     ... --report findings.json
  a quick look:         ... --max-images 500   (the json is checked in full)
  small inputs:         ... --min-size 320 --max-size 640

Nothing is changed. An error means that training would stop or learn nonsense,
a warning that something is lost. docs/check.md lists all that is looked for.
Exit status: 0 no error (there may be warnings), 1 errors, 2 the check could
not run (no such file).
"""

# As in depthbox.data.check.CheckSettings, which would bring in numpy and more.
MIN_SIZE, MAX_SIZE, MAX_WORKERS = 800, 1333, 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    workers = min(MAX_WORKERS, os.cpu_count() or 1)
    add("--json", required=True, type=Path, metavar="FILE", help="COCO json of the boxes")
    add("--images", required=True, type=Path, metavar="DIR", help="folder of the images")
    add("--depth", type=Path, metavar="DIR", help="folder of the depth maps (default: the data set has none)")
    add("--output", type=Path, metavar="DIR", help="folder for an HTML page with pictures of the worst cases")
    add("--report", type=Path, metavar="FILE", help="json file for all findings")
    add("--min-size", type=int, default=MIN_SIZE, metavar="N", help="input's short side (default %(default)s)")
    add("--max-size", type=int, default=MAX_SIZE, metavar="N", help="its longest side (default %(default)s)")
    add("--max-images", type=int, metavar="N", help="read only so many images, evenly spread (default: all)")
    add("--workers", type=int, default=workers, metavar="N", help="threads that read (default %(default)s)")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError where the report would overwrite the annotations."""
    if arguments.report and arguments.report.resolve() == arguments.json.resolve():
        raise ValueError(f"--report {arguments.report} would overwrite the annotations: give it another name")


def run(arguments: argparse.Namespace) -> int:
    """Check, tell, and write what was asked for; returns the exit status.

    Raises:
        ValueError: a file or folder is not there, or the report would overwrite the annotations.
    """
    from ..data.check.check import CheckSettings, check_dataset
    from ..data.check.report import summary

    check_arguments(arguments)
    settings = CheckSettings(
        json_file=arguments.json,
        images=arguments.images,
        depth=arguments.depth,
        min_size=arguments.min_size,
        max_size=arguments.max_size,
        max_images=arguments.max_images,
        workers=arguments.workers,
    )
    # Broken EXIF data and the like: the findings say what matters, and the progress bar stays whole.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        report = check_dataset(settings)
        print(summary(report))
        for line in write_files(arguments, report):
            print(line)
    return 1 if report.errors else 0


def write_files(arguments: argparse.Namespace, report: CheckReport) -> list[str]:
    """Write the page and the json of findings; returns a line for each."""
    from ..data.check.report import write_report
    from ..reports.dataset import write_page

    lines = []
    if arguments.output:
        lines.append(f"page     {write_page(report, arguments.output)}")
    if arguments.report:
        write_report(report, arguments.report)
        lines.append(f"report   {arguments.report}")
    return lines
