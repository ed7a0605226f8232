#!/usr/bin/env python3
"""Train several configs with several seeds and collect their AP in one table and plot."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from depthbox.cli.main import add_debug, run_tool
from depthbox.errors import Stopped
from depthbox.experiments.ablation.figures import save_mask_sheet
from depthbox.experiments.ablation.plan import AblationRun, is_started, plan_runs, read_final_metrics
from depthbox.experiments.ablation.results import format_table, gather, write_results
from depthbox.experiments.ablation.runner import CONSOLE, check_devices, execute, find_devices, make_command

TRAIN_NET = Path(__file__).resolve().with_name("train_net.py")
EXAMPLES = """
examples:
  all GPUs, three seeds:      tools/ablate.py configs/ablations/*.yaml --seeds 0 1 2 --output output/ablation
  list the runs:              tools/ablate.py A.yaml B.yaml --seeds 0 1 2 --output DIR --list
  the table so far:           tools/ablate.py A.yaml B.yaml --seeds 0 1 2 --output DIR --gather
  two at a time on the CPU:   tools/ablate.py A.yaml B.yaml --output DIR --devices cpu cpu
  change a key in all:        tools/ablate.py A.yaml B.yaml --output DIR SOLVER.MAX_ITER 2000

The run of a config with a seed is written to DIR/<name>/seed_<seed>. The same command skips finished runs and resumes
the others. A failed run does not stop the others, but the exit status is 1. The results are written to DIR after each
run: ablation.json, ablation.md (mean±standard deviation over the seeds, gain in mask AP over the first config) and
ablation.png; and, at the end, ablation_masks.png: the masks of each config for the same objects.
"""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line (None: that of this process)."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s CONFIG [CONFIG ...] --output DIR [options] [KEY VALUE ...]",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("words", nargs="+", metavar="CONFIG | KEY VALUE", help="YAML files, then settings for all runs")
    add("--output", type=Path, required=True, metavar="DIR", help="folder of all runs and results")
    add(
        "--seeds",
        nargs="+",
        type=int,
        default=[0],
        metavar="N",
        help="seeds of each config (default 0); another option ends the list",
    )
    add("--names", nargs="+", default=[], metavar="NAME", help="names of the rows (default: names of the files)")
    add(
        "--devices",
        nargs="+",
        default=[],
        metavar="DEVICE",
        help="cuda:N or cpu, each for one run at a time (default: all visible GPUs, else cpu)",
    )
    add("--objects", type=int, default=8, metavar="N", help="objects in ablation_masks.png (default 8; 0: no sheet)")
    add("--gather", action="store_true", help="collect the finished runs without running any")
    add("--list", action="store_true", help="print the runs without running them")
    add_debug(parser)
    arguments = parser.parse_intermixed_args(argv)
    is_config = [word.endswith((".yaml", ".yml")) for word in arguments.words]
    count = is_config.index(False) if False in is_config else len(is_config)
    arguments.configs, arguments.overrides = arguments.words[:count], arguments.words[count:]
    if not arguments.configs:
        parser.error(f"expected a .yaml file before KEY VALUE; the first word is '{arguments.words[0]}'")
    return arguments


def print_plan(runs: list[AblationRun], devices: list[str], command: list[str]) -> None:
    """Print the state of each run and its command."""
    for run in runs:
        finished = read_final_metrics(run.folder) is not None
        state = "finished" if finished else "to resume" if is_started(run) else "to start"
        print(f"{run.label}: {state}, {run.iterations} iterations")
        if not finished:
            print(f"    {shlex.join(make_command(run, devices[0], command))}")
    print(f"devices: {' '.join(devices)}")


def run_all(runs: list[AblationRun], devices: list[str], command: list[str], output: Path) -> int:
    """Execute the unfinished runs, write the results and print the failures; returns the exit status."""
    failures = execute(runs, devices, command, lambda: write_results(gather(runs), output))
    for failure in failures:
        print(f"\n{failure.run.label} {failure.reason}; last lines of {failure.run.folder / CONSOLE}:")
        print("\n".join(f"    {line}" for line in failure.tail.splitlines()))
    return 1 if failures else 0


def main(argv: list[str] | None = None) -> int:
    """Run the ablation and return the exit status.

    Raises:
        ValueError, OSError: a mistake in the arguments, or a file that cannot be read or written.
    """
    arguments = parse_arguments(argv)
    command = [sys.executable, str(TRAIN_NET)]
    try:
        runs = plan_runs(
            arguments.configs, arguments.seeds, arguments.output, arguments.overrides, names=arguments.names
        )
        devices = arguments.devices or find_devices()
        check_devices(devices)
        if arguments.list:
            print_plan(runs, devices, command)
            return 0
        status = 0 if arguments.gather else run_all(runs, devices, command, arguments.output)
        content = gather(runs)
        write_results(content, arguments.output)
    except Stopped:
        raise
    except KeyboardInterrupt:
        print("stopped; the same command resumes the runs")
        return 130
    problems = save_mask_sheet(runs, arguments.output, arguments.objects)
    files = [file.name for file in sorted(arguments.output.glob("ablation*"))]
    print(f"\n{format_table(content)}\n\n{arguments.output}: {', '.join(files)}{problems and chr(10)}{problems}")
    return status


if __name__ == "__main__":
    sys.exit(run_tool(main))
