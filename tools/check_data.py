#!/usr/bin/env python3
"""Say in plain words what is wrong with a data set of boxes, before training."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from depthbox.data.check import CheckReport, CheckSettings, check_dataset
from depthbox.data.check_report import summary, write_report
from depthbox.visualization.check_page import write_page

EXAMPLES = """
examples:
  boxes and images:     check_data.py --json boxes.json --images photos
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


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``argv`` None means that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    defaults = CheckSettings(Path(), Path())
    add = parser.add_argument
    add("--json", required=True, type=Path, metavar="FILE", help="COCO json of the boxes")
    add("--images", required=True, type=Path, metavar="DIR", help="folder of the images")
    add("--depth", type=Path, metavar="DIR", help="folder of the depth maps (default: the data set has none)")
    add("--output", type=Path, metavar="DIR", help="folder for an HTML page with pictures of the worst cases")
    add("--report", type=Path, metavar="FILE", help="json file for all findings")
    add("--min-size", type=int, default=defaults.min_size, metavar="N", help="input's short side (default %(default)s)")
    add("--max-size", type=int, default=defaults.max_size, metavar="N", help="its longest side (default %(default)s)")
    add("--max-images", type=int, metavar="N", help="read only so many images, evenly spread (default: all)")
    add("--workers", type=int, default=defaults.workers, metavar="N", help="threads that read (default %(default)s)")
    arguments = parser.parse_args(argv)
    if arguments.report and arguments.report.resolve() == arguments.json.resolve():
        parser.error(f"--report {arguments.report} would overwrite the annotations: give it another name")
    return arguments


def run(arguments: argparse.Namespace) -> int:
    """Check, tell, and write what was asked for; returns the exit status."""
    settings = CheckSettings(
        json_file=arguments.json,
        images=arguments.images,
        depth=arguments.depth,
        min_size=arguments.min_size,
        max_size=arguments.max_size,
        max_images=arguments.max_images,
        workers=arguments.workers,
    )
    report = check_dataset(settings)
    print(summary(report))
    for line in write_files(arguments, report):
        print(line)
    return 1 if report.errors else 0


def write_files(arguments: argparse.Namespace, report: CheckReport) -> list[str]:
    """Write the page and the json of findings; returns a line for each."""
    lines = []
    if arguments.output:
        lines.append(f"page     {write_page(report, arguments.output)}")
    if arguments.report:
        write_report(report, arguments.report)
        lines.append(f"report   {arguments.report}")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Run; mistakes in the arguments end with one clear line."""
    arguments = parse_arguments(argv)
    # Broken EXIF data and the like: the findings say what matters, and the progress bar stays whole.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        return run(arguments)
    except (ValueError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was changed", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
