#!/usr/bin/env python3
"""Measure speed and memory of DepthBox's operations against the way the field usually writes them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EXAMPLES = """
parts (default: all):
  ops     mask_losses, dynamic_head, edges, targets, paste; objects: cost against the number of objects
  train   train_step: forward and backward of the whole network, R-50
  infer   images a second at batch 1 and 4; channels_last, bf16 and torch.compile against the plain network
  data    images a second of the data mapper, and where its time goes
  eval    evaluation_boxes, evaluation_masks: COCO evaluation against pycocotools

examples:
  everything there is:        tools/benchmark.py
  the rows of a GPU:          tools/benchmark.py --device cuda
  two operations:             tools/benchmark.py ops --only mask_losses edges
  does it work at all:        tools/benchmark.py --quick --output output/bench-quick

DIR gets summary.json and summary.md, renewed after each row, and the pictures. Rows of an earlier run into the same DIR
stay where they are not measured again. Both contestants compute from the same inputs in one process; where their
results differ the row fails, and the exit status is 1. On two cores the CPU's rows take about 15 minutes. Let nothing
else run meanwhile.
"""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``argv`` None means that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help="ops, train, infer, data, eval (default: all)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: the CPU, and CUDA where there is one")
    add("--output", type=Path, default=Path("output/bench"), metavar="DIR", help="default output/bench")
    add("--only", nargs="+", default=[], metavar="NAME", help="only these rows")
    add("--threads", type=int, default=0, metavar="N", help="of PyTorch on the CPU (default: as PyTorch chooses)")
    add("--repeat", type=int, default=5, metavar="N", help="repetitions at most (default 5; slow ones have fewer)")
    add("--quick", action="store_true", help="tiny inputs, to see that all works; the figures mean nothing")
    arguments = parser.parse_args(argv)
    if arguments.threads < 0 or arguments.repeat < 1:
        parser.error("--threads must be 0 or more, --repeat 1 or more")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Measure; mistakes in the arguments end with one clear line. Returns the exit status."""
    arguments = parse_arguments(argv)
    import torch

    from depthbox.benchmark import PARTS, Options, devices_for, run, select

    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        sys.exit(f"{Path(sys.argv[0]).name}: unknown part {' '.join(unknown)}; the parts are {' '.join(PARTS)}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        names = select(arguments.parts, arguments.only)
        options = [Options(d, quick=arguments.quick, repeat=arguments.repeat) for d in devices_for(arguments.device)]
        summary = run(names, options, arguments.output)
    except (ValueError, OSError) as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
    except KeyboardInterrupt:
        print(f"stopped; what was measured is in {arguments.output}")
        return 130
    for failure in summary.failures:
        print(f"FAILED: {failure['op']} on {failure['device']}: {failure['error']}")
    print(f"{arguments.output}: summary.json, summary.md and pictures")
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
