"""``depthbox depth``: options of ``depthbox.data.pseudo_depth.generate``, and the printed result."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import show

if TYPE_CHECKING:
    from ..data.pseudo_depth.items import DepthItem, DepthItemList
    from ..data.pseudo_depth.worker import DepthFailure, DepthSettings, GeneratedDepth

SUMMARY = "Estimate the depth of images with a pretrained network."
STOPPED = "stopped; the same command continues"
SHOWN_FAILURES = 20
EXAMPLES = """
examples:
  COCO, as in the paper:  %(prog)s --data instances_train2017.json \\
                              --images train2017 --output depth_train2017
  YOLO, VOC, CVAT, ...:   %(prog)s --data data.yaml --output depth
  a small model:          %(prog)s --images photos --output depth \\
                              --model depth-anything-small
  a contact sheet:        ... --sheet look.png
  without writing:        ... --dry-run
  8 GPUs of one machine:  ... --num-processes 8
  machine 0 of 4:         ... --num-shards 4 --shard 0
  offline:                ... --model FOLDER   (made by save_pretrained, or
                              downloaded from the hub before)

Every image gets a 16-bit PNG with its own name and sub-folder in OUTPUT:
inverse depth, scaled to 0 ... 1 in each image, 1 = near.
OUTPUT/depth_info.json records the settings; maps of other settings are never
added to the same folder. After a stop, start the same command again: complete
maps are skipped. Exit status: 0 all done, 1 some images failed, 2 a mistake.
Short names of models: dpt-large = Intel/dpt-large,
depth-anything-small = depth-anything/Depth-Anything-V2-Small-hf.
"""


@dataclass(frozen=True)
class DepthPlan:
    """All images of the dataset, those of this shard, and those of the shard that have no map yet."""

    dataset: DepthItemList
    shard: list[DepthItem]
    todo: list[DepthItem]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR", help="image folder (default: as the annotations define it)")
    add("--data", "--json", type=Path, metavar="PATH", help="annotations that list the images (default: all in DIR)")
    add("--split", choices=("train", "val", "test"), default="train", help="split of a divided dataset (default train)")
    add("--output", required=True, type=Path, metavar="DIR", help="folder of the depth maps")
    add("--model", default="dpt-large", metavar="NAME", help="hub or short name, or a folder (default dpt-large)")
    add("--revision", metavar="REV", help="branch, tag or commit of the model on the hub")
    add("--invert", choices=("auto", "yes", "no"), default="auto", help="use 1 / output: yes for models of distance")
    add("--size", type=_parse_size, metavar="N", help="short side of the maps, or 'original' (default: as the image)")
    add("--batch-size", type=_parse_positive, default=8, metavar="N", help="images per batch and process (default 8)")
    add("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    add("--half", action="store_true", help="compute in float16 (CUDA only): faster, nearly the same")
    add("--threads", type=_parse_positive, default=4, metavar="N", help="I/O threads of a process (default 4)")
    add("--num-processes", type=_parse_positive, default=1, metavar="N", help="on this machine, one GPU for each")
    add("--num-shards", type=_parse_positive, default=1, metavar="N", help="commands that share the images (default 1)")
    add("--shard", type=int, default=0, metavar="I", help="number of this command, from 0")
    add("--overwrite", action="store_true", help="generate all maps again; leave it out to continue after a stop")
    add("--dry-run", action="store_true", help="print the plan, write nothing")
    add("--sheet", type=Path, metavar="FILE", help="PNG file of a contact sheet of images and maps")
    add("--sheet-count", type=_parse_positive, default=18, metavar="N", help="images on the sheet (default 18)")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError if options do not fit each other."""
    if arguments.images is None and arguments.data is None:
        raise ValueError("--images or --data is needed: the image folder, or annotations")
    if arguments.overwrite and arguments.num_shards > 1:
        raise ValueError("--overwrite would remove the new maps of other shards: empty the folder by hand instead")
    if arguments.sheet and arguments.sheet.resolve().is_relative_to(arguments.output.resolve()):
        raise ValueError(f"--sheet {arguments.sheet} is inside of the folder of depth maps: give it another folder")


def run(arguments: argparse.Namespace) -> int:
    """Generate the depth maps and print the result; return the exit status.

    Raises:
        ValueError, OSError, ImportError: a mistake in the options or files, or transformers is not installed.
    """
    from ..data.pseudo_depth.folder import describe_folder, occupy_folder, prepare_folder
    from ..data.pseudo_depth.generate import choose_devices
    from ..data.pseudo_depth.model import describe_model
    from ..data.pseudo_depth.worker import DepthSettings
    from ..io.write_errors import require_writable

    check_arguments(arguments)
    if not Path(arguments.model).is_dir():
        show(
            f"the model {arguments.model} is downloaded from the Hugging Face hub unless it is in its cache", error=True
        )
    model = describe_model(arguments.model, arguments.revision, arguments.invert)
    devices = choose_devices(arguments.device, arguments.num_processes)
    settings = DepthSettings(model, arguments.size, arguments.batch_size, arguments.half, arguments.threads)
    plan = make_plan(arguments)
    info = describe_folder(model, arguments.size, arguments.half)
    if arguments.dry_run:
        prepare_folder(arguments.output, plan.dataset.items, info, overwrite=arguments.overwrite, dry_run=True)
        print_settings(settings, devices, plan, arguments)
        return 0
    if arguments.sheet:
        require_writable(arguments.sheet)
    with occupy_folder(arguments.output, arguments.shard, arguments.num_shards):
        prepare_folder(arguments.output, plan.dataset.items, info, overwrite=arguments.overwrite)
        print_settings(settings, devices, plan, arguments)
        return generate_and_print(plan, settings, devices, arguments)


def generate_and_print(
    plan: DepthPlan, settings: DepthSettings, devices: Sequence[str], arguments: argparse.Namespace
) -> int:
    """Generate the missing maps, draw the sheet and print the result; return the exit status."""
    from ..data.pseudo_depth.folder import describe_depth_shortage
    from ..data.pseudo_depth.generate import generate

    if warning := describe_depth_shortage(plan.todo, arguments.size, arguments.output):
        show(f"warning: {warning}", error=True)
    generated = generate(plan.todo, settings, devices)
    if arguments.sheet:
        draw_sheet(arguments, plan.shard, generated.failures, f"{settings.model.name}, {settings.model.weights}")
    print_result(plan, generated)
    return 1 if generated.failures or plan.dataset.unreadable else 0


def make_plan(arguments: argparse.Namespace) -> DepthPlan:
    """List the images, and those that this command has to do."""
    from tqdm import tqdm

    from ..data.pseudo_depth.items import is_complete, list_items, take_shard

    dataset = list_items(arguments.images, arguments.output, arguments.data, arguments.split)
    shard = take_shard(dataset.items, arguments.shard, arguments.num_shards)
    if arguments.overwrite:
        return DepthPlan(dataset, shard, shard)
    checked = tqdm(shard, desc="looking for complete maps", unit="image", leave=False, delay=2)
    return DepthPlan(dataset, shard, [item for item in checked if not is_complete(item, arguments.size)])


def print_settings(
    settings: DepthSettings, devices: Sequence[str], plan: DepthPlan, arguments: argparse.Namespace
) -> None:
    """Print the model, the devices and the plan."""
    model = settings.model
    show(f"model    {model.name} ({model.weights}), on {', '.join(devices)}")
    show(f"output   {'distance, inverted' if model.inverted else 'inverse depth, kept'}: 1 = near")
    print_plan(plan, arguments)


def print_plan(plan: DepthPlan, arguments: argparse.Namespace) -> None:
    """Print the number of images; notes about the annotations of images go to the error output."""
    from ..io.annotations.records import format_note

    for note in plan.dataset.notes:
        if note.rule.startswith(("image_", "file_")):
            show(format_note(note), error=True)
    total, shard, todo = len(plan.dataset.items), len(plan.shard), len(plan.todo)
    show(f"images   {total}, {shard} in shard {arguments.shard} of {arguments.num_shards}")
    show(f"to do    {todo}, complete {shard - todo}")
    if arguments.dry_run:
        missing = [item.image for item in plan.shard if not item.image.is_file()]
        show(f"missing  {len(missing)} images{f', such as {missing[0]}' if missing else ''}")


def draw_sheet(
    arguments: argparse.Namespace, items: Sequence[DepthItem], failures: Sequence[DepthFailure], title: str
) -> None:
    """Write the contact sheet of the images that have a map."""
    from ..visualization.depth_sheet import make_depth_sheet
    from ..visualization.sheet import save_sheet

    failed = {failure.image for failure in failures}
    pairs = [(item.image, item.depth) for item in items if item.image not in failed]
    if pairs:
        save_sheet(make_depth_sheet(pairs, arguments.sheet_count, title=title), arguments.sheet)
        show(f"sheet    {arguments.sheet}")


def print_result(plan: DepthPlan, generated: GeneratedDepth) -> None:
    """Print the counts; failures go to the error output, one line each."""
    failures, paged = generated.failures, generated.paged
    for failure in failures[:SHOWN_FAILURES]:
        show(f"failed: {failure.image}: {failure.problem}", error=True)
    if len(failures) > SHOWN_FAILURES:
        show(f"... and {len(failures) - SHOWN_FAILURES} more", error=True)
    if paged:
        show(f"note     {len(paged)} files have several pages or frames, the first one was used, such as {paged[0]}")
    complete = len(plan.shard) - len(plan.todo)
    failed = len(failures) + plan.dataset.unreadable
    show(f"done     {len(plan.todo) - len(failures)} made, {complete} were complete, {failed} failed")


def _parse_positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _parse_size(text: str) -> int | None:
    if text == "original":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a short side in pixels nor 'original'")
    return int(text)
