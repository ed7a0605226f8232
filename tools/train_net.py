#!/usr/bin/env python3
"""Train and evaluate DepthBox (or any registered Detectron2 meta-architecture)."""

from __future__ import annotations

import argparse
import functools
import shlex
import sys

from depthbox import add_depthbox_config
from depthbox.cli.main import add_debug, run_tool
from depthbox.cli.train import add_run_arguments, launch_run
from depthbox.config import load_config
from depthbox.engine.run import run

EXAMPLES = """
examples:
  one GPU:            tools/train_net.py --config-file FILE
  eight GPUs:         tools/train_net.py --config-file FILE --num-gpus 8
  continue a run:     tools/train_net.py --config-file FILE --resume
  evaluate:           tools/train_net.py --config-file FILE --eval-only MODEL.WEIGHTS model_final.pth
  change a key:       tools/train_net.py --config-file FILE SOLVER.IMS_PER_BATCH 8 OUTPUT_DIR output/r50
  on the CPU:         tools/train_net.py --config-file FILE --num-gpus 2 MODEL.DEVICE cpu
  two machines:       tools/train_net.py ... --num-machines 2 --machine-rank 0 --dist-url tcp://10.0.0.1:29500
                      tools/train_net.py ... --num-machines 2 --machine-rank 1 --dist-url tcp://10.0.0.1:29500
  with torchrun:      torchrun --nproc-per-node 8 tools/train_net.py --config-file FILE

OUTPUT_DIR gets log.txt, config.yaml, metrics.json, TensorBoard events, checkpoints (model_*.pth, the best as
model_best.pth) and inference/. An earlier training run in it is moved to its subfolder earlier_1, earlier_2, ...
"""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``argv`` None = that of this process."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s [options] [KEY VALUE ...]",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--eval-only", action="store_true", help="evaluate MODEL.WEIGHTS (with --resume: the newest checkpoint)"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="settings with priority over FILE")
    add_debug(parser)
    return parser.parse_intermixed_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Train or evaluate.

    Raises:
        ValueError, OSError: a mistake in the options, the config or the data.
        FloatingPointError: a loss is not finite.
    """
    arguments = parse_arguments(argv)
    cfg = load_config(add_depthbox_config, arguments.config_file, arguments.overrides)
    options = {"resume": arguments.resume, "eval_only": arguments.eval_only, "command": shlex.join(sys.argv)}
    launch_run(arguments, cfg, functools.partial(run, cfg, **options), arguments.num_gpus)


if __name__ == "__main__":
    sys.exit(run_tool(main))
