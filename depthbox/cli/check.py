"""``depthbox check``: options of ``depthbox.data.check``, the printed result and the written files."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import show

if TYPE_CHECKING:
    from ..data.check.check import CheckReport

SUMMARY = "Find problems of a dataset before training."
STOPPED = "stopped; nothing was changed"
EXAMPLES = """
examples:
  boxes and images:     %(prog)s --data boxes.json --images photos
  YOLO:                 %(prog)s --data data.yaml
  Pascal VOC, CVAT, ...: %(prog)s --data FILE_OR_FOLDER
  depth maps as well:   ... --depth depth
  images of findings:   ... --output look   (a page: look/index.html)
  a repaired copy:      ... --fix fixed.json
  for programs, CI:     ... --report findings.json
  a quick check:        ... --max-images 500   (annotations are read in full)
  small inputs:         ... --min-size 320 --max-size 640

The data are not changed. Error: training stops or learns from wrong data.
Warning: data are lost or probably not as intended. docs/check.md lists all
findings. A dataset with splits is checked split by split.
Exit status: 0 no error, 1 errors, 2 the check cannot run.
"""

# As in depthbox.data.check.check.CheckSettings, whose import takes seconds.
MIN_SIZE, MAX_SIZE, MAX_WORKERS = 800, 1333, 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    workers = min(MAX_WORKERS, os.cpu_count() or 1)
    add("--data", "--json", required=True, type=Path, metavar="PATH", help="annotations, as for depthbox train --data")
    add("--images", type=Path, metavar="DIR", help="image folder (default: defined by the format)")
    add("--depth", type=Path, metavar="DIR", help="folder of the depth maps (default: without depth)")
    add("--split", choices=("train", "val", "test"), help="check this split only (default: all)")
    add("--output", type=Path, metavar="DIR", help="folder for an HTML page with images of the worst cases")
    add("--report", type=Path, metavar="FILE", help="JSON file for all findings")
    add("--fix", type=Path, metavar="FILE", help="write a repaired copy of the annotations as COCO JSON")
    add("--min-size", type=int, default=MIN_SIZE, metavar="N", help="short side of the input (default %(default)s)")
    add("--max-size", type=int, default=MAX_SIZE, metavar="N", help="longest side of the input (default %(default)s)")
    add("--max-images", type=int, metavar="N", help="number of images to decode, evenly spread (default: all)")
    add("--workers", type=int, default=workers, metavar="N", help="number of reading threads (default %(default)s)")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError if an output would overwrite the annotations or another output."""
    for option in ("report", "fix"):
        path = getattr(arguments, option)
        if path and path.resolve() == arguments.data.resolve():
            raise ValueError(f"--{option} {path} would overwrite the annotations: give it another name")
    if arguments.fix and arguments.report and arguments.fix.resolve() == arguments.report.resolve():
        raise ValueError(f"--fix and --report both name {arguments.fix}: give one of them another name")


def run(arguments: argparse.Namespace) -> int:
    """Check the data, see ``check``; return the exit status.

    Raises:
        ValueError: see ``check``.
    """
    return 1 if any(report.errors for report in check(arguments).values()) else 0


def check(arguments: argparse.Namespace) -> dict[str, CheckReport]:
    """Check the data, print the result and write the requested files; return the report of each split.

    Raises:
        ValueError: a file, folder or split does not exist, or an output would overwrite the annotations.
    """
    from ..data.check.check import CheckSettings
    from ..data.check.report import summary
    from ..data.check.splits import check_splits, find_splits
    from ..io.write_errors import require_writable
    from ..reports.dataset import PAGE

    check_arguments(arguments)
    for path in (arguments.output and arguments.output / PAGE, arguments.report, arguments.fix):
        if path:
            require_writable(path)
    settings = CheckSettings(
        data=arguments.data,
        images=arguments.images,
        depth=arguments.depth,
        min_size=arguments.min_size,
        max_size=arguments.max_size,
        max_images=arguments.max_images,
        workers=arguments.workers,
    )
    splits = find_splits(settings, arguments.split)
    if arguments.fix and len(splits) > 1:
        raise ValueError(f"--fix writes one file: choose one of {', '.join(splits)} with --split")

    def print_report(report: CheckReport) -> None:
        title = f"=== {report.settings.split} ===\n" if splits != ("",) else ""
        show(f"{title}{summary(report)}\n" if len(splits) > 1 else title + summary(report))

    # Findings report broken EXIF data. Warnings of Pillow would repeat them and break the progress bar.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        reports = check_splits(settings, splits, print_report)
        for line in write_files(arguments, reports):
            show(line)
    return dict(reports)


def write_files(arguments: argparse.Namespace, reports: Mapping[str, CheckReport]) -> list[str]:
    """Write the page, the JSON file of findings and the repaired annotations; return lines that describe them."""
    from ..data.check.fix import write_fixed
    from ..data.check.report import write_report
    from ..reports.dataset import write_page

    lines = []
    if arguments.output:
        for split, report in reports.items():
            folder = arguments.output / split if len(reports) > 1 else arguments.output
            lines.append(f"page     {write_page(report, folder)}")
    if arguments.report:
        write_report(reports if len(reports) > 1 else {"": next(iter(reports.values()))}, arguments.report)
        lines.append(f"report   {arguments.report}")
    if arguments.fix:
        lines += write_fixed(next(iter(reports.values())), arguments.fix)
    return lines
