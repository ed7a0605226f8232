#!/usr/bin/env python3
"""Measure speed and memory of DepthBox's operations against their usual formulations."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depthbox.cli.main import add_debug, run_tool
from depthbox.errors import Stopped

EXAMPLES = """
parts (default: all):
  ops     mask_losses, dynamic_head, edges, targets, paste, affinity; objects: cost over the number of objects
  train   train_step: forward and backward pass of the whole network, R-50
  infer   images per second at batch sizes 1 and 4; channels_last, bf16 and torch.compile against the plain network
  data    images per second of the data mapper, and the shares of its steps
  eval    evaluation_boxes, evaluation_masks: COCO evaluation against pycocotools

examples:
  all rows:                   tools/benchmark.py
  rows of the GPU:            tools/benchmark.py --device cuda
  two operations:             tools/benchmark.py ops --only mask_losses edges
  test of the benchmark:      tools/benchmark.py --quick --output output/bench-quick

summary.json and summary.md are written to DIR after each row, the plots at the end. Rows of an earlier run in DIR are
kept until they are measured again. Both implementations compute from the same inputs in one process. If their results
differ, the row fails and the exit status is 1. On two cores the rows of the CPU take about 15 minutes. Other processes
falsify the measurement.
"""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line (None: that of this process)."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help="ops, train, infer, data, eval (default: all)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: the CPU, and CUDA if available")
    add("--output", type=Path, default=Path("output/bench"), metavar="DIR", help="folder (default output/bench)")
    add("--only", nargs="+", default=[], metavar="NAME", help="names of the rows (default: all of the parts)")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads of PyTorch (default: those of PyTorch)")
    add(
        "--repeat",
        type=int,
        default=5,
        metavar="N",
        help="maximum number of repetitions (default 5; slow rows have fewer)",
    )
    add("--quick", action="store_true", help="tiny inputs, as a test of the benchmark; the values are meaningless")
    add_debug(parser)
    arguments = parser.parse_args(argv)
    if arguments.threads < 0 or arguments.repeat < 1:
        parser.error("--threads must be 0 or more, --repeat 1 or more")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Measure and return the exit status.

    Raises:
        ValueError, OSError: a mistake in the arguments, or a file that cannot be written.
    """
    arguments = parse_arguments(argv)
    import torch

    from depthbox.benchmark import PARTS, Options, find_devices, run_benchmarks, select

    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        raise ValueError(f"unknown part {' '.join(unknown)}; the parts are {' '.join(PARTS)}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        names = select(arguments.parts, arguments.only)
        options = [Options(d, quick=arguments.quick, repeat=arguments.repeat) for d in find_devices(arguments.device)]
        summary = run_benchmarks(names, options, arguments.output)
    except Stopped:
        raise
    except KeyboardInterrupt:
        print(f"stopped; the measured rows are in {arguments.output}")
        return 130
    for failure in summary.failures:
        print(f"FAILED: {failure['op']} on {failure['device']}: {failure['error']}")
    print(f"{arguments.output}: summary.json, summary.md and plots")
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
