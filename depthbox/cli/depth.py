"""``depthbox depth``: the options of ``depthbox.data.pseudo_depth.generate``, and what is printed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..data.pseudo_depth.generate import Failure
    from ..data.pseudo_depth.items import DepthItem

SUMMARY = "Estimate the depth of images with a pretrained network."
STOPPED = "stopped; the same command goes on from here"
SHOWN_FAILURES = 20
EXAMPLES = """
examples:
  COCO, as in the paper:  %(prog)s --json instances_train2017.json \\
                              --images train2017 --output depth_train2017
  a light model:          %(prog)s --images photos --output depth \\
                              --model depth-anything-small
  look at the result:     ... --sheet look.png
  what would be done:     ... --dry-run
  8 GPUs of one machine:  ... --num-processes 8
  machine 0 of 4:         ... --num-shards 4 --shard 0
  without a network:      ... --model FOLDER   (made by save_pretrained, or
                              downloaded from the hub before)

Every image gets a 16-bit PNG with its own name and sub-folder in OUTPUT:
inverse depth, stretched to 0 ... 1 in each image, 1 = near.
OUTPUT/depth_info.json says what made them; maps made otherwise are never added
to them. Start the same command again after a stop: what is complete is left
alone. Exit status: 0 all done, 1 some images failed, 2 a mistake.
Short names of models: dpt-large = Intel/dpt-large,
depth-anything-small = depth-anything/Depth-Anything-V2-Small-hf.
"""


@dataclass(frozen=True)
class Plan:
    """All images of the data set, those of this shard, and those of them that have no map yet."""

    every: list[DepthItem]
    shard: list[DepthItem]
    todo: list[DepthItem]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--images", required=True, type=Path, metavar="DIR", help="folder of the images")
    add("--json", type=Path, metavar="FILE", help="COCO json with their names (default: all in DIR and below)")
    add("--output", required=True, type=Path, metavar="DIR", help="folder of the depth maps")
    add("--model", default="dpt-large", metavar="NAME", help="hub or short name, or a folder (default dpt-large)")
    add("--revision", metavar="REV", help="branch, tag or commit of the model on the hub")
    add("--invert", choices=("auto", "yes", "no"), default="auto", help="take 1 / output: yes for models of distance")
    add("--size", type=_size, metavar="N", help="short side of the maps, or 'original' (default: as the image)")
    add("--batch-size", type=_positive, default=8, metavar="N", help="images at once in a process (default 8)")
    add("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    add("--half", action="store_true", help="compute in float16 (CUDA only): faster, nearly the same")
    add("--threads", type=_positive, default=4, metavar="N", help="readers and writers of a process (default 4)")
    add("--num-processes", type=_positive, default=1, metavar="N", help="on this machine, each on a GPU of its own")
    add("--num-shards", type=_positive, default=1, metavar="N", help="commands that share the images (default 1)")
    add("--shard", type=int, default=0, metavar="I", help="which of them this is, from 0")
    add("--overwrite", action="store_true", help="make all maps anew; to go on after a stop, leave it out")
    add("--dry-run", action="store_true", help="say what would be done, write nothing")
    add("--sheet", type=Path, metavar="FILE", help="PNG with images and their maps, to look at")
    add("--sheet-count", type=_positive, default=18, metavar="N", help="images on it (default 18)")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError where options do not fit each other."""
    if arguments.overwrite and arguments.num_shards > 1:
        raise ValueError("--overwrite would remove what other shards have just made: empty the folder by hand instead")
    if arguments.sheet and arguments.sheet.resolve().is_relative_to(arguments.output.resolve()):
        raise ValueError(f"--sheet {arguments.sheet} lies among the depth maps: write it to another folder")


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line asks for; returns the exit status.

    Raises:
        ValueError, OSError, ImportError: a mistake in the options or files, or transformers is not installed.
    """
    from ..data.pseudo_depth.folder import describe_folder, prepare_folder
    from ..data.pseudo_depth.generate import DepthSettings, choose_devices, generate
    from ..data.pseudo_depth.model import describe_model

    check_arguments(arguments)
    model = describe_model(arguments.model, arguments.revision, arguments.invert)
    devices = choose_devices(arguments.device, arguments.num_processes)
    settings = DepthSettings(model, arguments.size, arguments.batch_size, arguments.half, arguments.threads)
    plan = make_plan(arguments)
    info = describe_folder(model, arguments.size, arguments.half)
    options = {"overwrite": arguments.overwrite, "dry_run": arguments.dry_run}
    prepare_folder(arguments.output, plan.every, info, **options)
    print(f"model    {model.name} ({model.weights}), on {', '.join(devices)}")
    print(f"output   {'distance, inverted' if model.inverted else 'inverse depth, kept'}: 1 = near")
    print(f"images   {len(plan.every)}, {len(plan.shard)} in shard {arguments.shard} of {arguments.num_shards}")
    print(f"to do    {len(plan.todo)}, complete {len(plan.shard) - len(plan.todo)}", flush=True)
    if arguments.dry_run:
        missing = [item.image for item in plan.shard if not item.image.is_file()]
        print(f"missing  {len(missing)} images{f', such as {missing[0]}' if missing else ''}")
        return 0
    failures = generate(plan.todo, settings, devices)
    if arguments.sheet:
        draw_sheet(arguments, plan.shard, failures, f"{model.name}, {model.weights}")
    report(plan, failures)
    return 1 if failures else 0


def make_plan(arguments: argparse.Namespace) -> Plan:
    """Find out which images there are, and which this command has to do."""
    from tqdm import tqdm

    from ..data.pseudo_depth.items import is_complete, list_items, take_shard

    every = list_items(arguments.images, arguments.output, arguments.json)
    shard = take_shard(every, arguments.shard, arguments.num_shards)
    if arguments.overwrite:
        return Plan(every, shard, shard)
    checked = tqdm(shard, desc="looking for complete maps", unit="image", leave=False, delay=2)
    return Plan(every, shard, [item for item in checked if not is_complete(item, arguments.size)])


def draw_sheet(
    arguments: argparse.Namespace, items: Sequence[DepthItem], failures: Sequence[Failure], title: str
) -> None:
    """Write the contact sheet of the images that have a map."""
    from ..visualization.depth_sheet import make_depth_sheet
    from ..visualization.sheet import save_sheet

    failed = {failure.image for failure in failures}
    pairs = [(item.image, item.depth) for item in items if item.image not in failed]
    if pairs:
        save_sheet(make_depth_sheet(pairs, arguments.sheet_count, title=title), arguments.sheet)
        print(f"sheet    {arguments.sheet}")


def report(plan: Plan, failures: Sequence[Failure]) -> None:
    """Say how it went; failures go to the error output."""
    for failure in failures[:SHOWN_FAILURES]:
        print(f"failed: {failure.image}: {failure.problem}", file=sys.stderr)
    if len(failures) > SHOWN_FAILURES:
        print(f"... and {len(failures) - SHOWN_FAILURES} more", file=sys.stderr)
    skipped = len(plan.shard) - len(plan.todo)
    print(f"done     {len(plan.todo) - len(failures)} made, {skipped} were complete, {len(failures)} failed")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _size(text: str) -> int | None:
    if text == "original":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a short side in pixels nor 'original'")
    return int(text)
