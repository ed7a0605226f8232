"""``depthbox label``: masks for the boxes and points of a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import show

if TYPE_CHECKING:
    from detectron2.config import CfgNode

    from ..io.annotations.records import AnnotationSet
    from ..labeling.job import LabelJob
    from ..labeling.summary import LabelSummary

SUMMARY = "Compute a mask for each box or point with a trained network."
STOPPED = "stopped; run the same command again to resume"
EXAMPLES = """
examples:
  label my boxes:        %(prog)s --json boxes.json --images photos \\
                         --weights output/my/model_final.pth --output masks.json
  label my points:       %(prog)s --json points.json --images photos \\
                         --weights output/A/model_final.pth --output masks.json
  a YOLO dataset:        ... --data dataset/data.yaml --split val
  polygons, not RLE:     ... --format polygons
  200 lowest scores:     ... --review 200   (drawn into masks_review/)
  compare:               ... --evaluate     (needs ground-truth masks)
  masks of another file: ... --evaluate truth.json   (same annotation ids)
  larger input:          ... --size 1200    (several sizes are averaged)
  faster:                ... --size 800 --no-mirror
  use depth maps:        ... --depth depth
  on the CPU:            ... --set MODEL.DEVICE cpu

All formats that `depthbox check` reads can be labeled. The output is the
COCO JSON file of the input with segmentation, area and score (quality of the
mask, 0 to 1) in each annotation; ids and further keys are kept. CVAT imports
both mask formats, Label Studio imports polygons. A stopped job is resumed:
finished images are in OUTPUT.partial.jsonl until the job ends. The config of
the training run is config.yaml beside the weights. An object with a point
only also gets a bbox, and "fallback": true if its mask is a square because
no pixel belongs to the point. If there are such objects, or the network is a
P2Seg, objects with masks stay as they are; a P2Seg leaves boxes as they are.
Exit status: 0 all objects are labeled, 1 some could not be labeled, 2 wrong
options or files, 130 stopped by Ctrl-C.
"""
MAX_LINES = 20
_UNREPORTED = ("crowd", "ignored", "image_missing")  # rules of notes that the summary and the problems cover


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--json", "--data", required=True, type=Path, metavar="PATH", help="annotation file or dataset folder")
    add("--images", type=Path, metavar="DIR", help="image folder (default: defined by the format)")
    add("--split", default="", choices=("train", "val", "test"), help="split of a dataset with splits")
    add("--weights", required=True, metavar="FILE", help="checkpoint of the network that labels")
    add("--output", required=True, type=Path, metavar="FILE", help="COCO JSON file to write")
    add("--config-file", default="", metavar="FILE", help="config of the training run (default: beside the weights)")
    add("--format", default="rle", choices=("rle", "polygons"), help="format of the masks (default %(default)s)")
    add(
        "--size",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="shorter sides of the network's input (default: INPUT.MIN_SIZE_TEST and 1.5 times that)",
    )
    add("--no-mirror", action="store_true", help="do not average with the mirrored image: twice as fast")
    add("--depth", type=Path, metavar="DIR", help="folder of depth maps that contribute to the choice of masks")
    add("--review", type=int, default=0, metavar="N", help="draw the N masks with the lowest scores")
    add(
        "--evaluate",
        nargs="?",
        const="",
        metavar="TRUTH",
        help="compare with the ground-truth masks of the input, or of another file with the same annotation ids",
    )
    add("--overwrite", action="store_true", help="replace the output if it exists")
    add("--set", nargs="+", default=[], metavar="KEY VALUE", dest="overrides", help="config keys to override")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError if a number is out of range."""
    if any(size < 32 for size in arguments.size):
        raise ValueError(f"--size must be 32 pixels or more, not {min(arguments.size)}")
    if arguments.review < 0:
        raise ValueError(f"--review must be 0 masks or more, not {arguments.review}")


def run(arguments: argparse.Namespace) -> int:
    """Label the objects and print a summary; returns the exit status.

    Raises:
        ValueError, OSError: wrong options, config or files.
    """
    check_arguments(arguments)
    truth = read_truth(arguments)
    summary = label(arguments)
    show(format_summary(summary, arguments, truth))
    for line in summary.problems[:MAX_LINES]:
        show(f"not labeled: {line}", error=True)
    if len(summary.problems) > MAX_LINES:
        show(f"not labeled: {len(summary.problems) - MAX_LINES} more", error=True)
    if summary.unlabeled:
        show(f"annotations that are not labeled: {summary.unlabeled}", error=True)
    return 1 if summary.unlabeled else 0


def label(arguments: argparse.Namespace) -> LabelSummary:
    """Run the job of the command line, or return the result of an earlier call with the same inputs."""
    from .. import add_depthbox_config
    from ..config import load_config
    from ..inference.predictor import find_config
    from ..labeling.class_indices import build_prompt_reader
    from ..labeling.job import LabelJob, check_job, find_finished, label_dataset
    from ..labeling.loading import job_fingerprint, load_annotations, load_labeler
    from ..labeling.prompts import answers_boxes, check_plan, plan_prompts

    config_file = find_config(arguments.weights, arguments.config_file)
    cfg = load_config(add_depthbox_config, config_file, arguments.overrides)
    annotations = load_annotations(arguments.json, arguments.images, arguments.split)
    plan = plan_prompts(annotations, boxes=answers_boxes(cfg))
    check_plan(annotations, plan, boxes=answers_boxes(cfg), own_truth=arguments.evaluate == "")
    options = {"sizes": arguments.size, "mirror": not arguments.no_mirror, "depth": arguments.depth}
    job = LabelJob(
        annotations,
        arguments.output,
        mask_format=arguments.format,
        fingerprint=job_fingerprint(cfg, arguments.weights, annotations, options),
        overwrite=arguments.overwrite,
        plan=plan,
        fallback_side=0 if answers_boxes(cfg) else cfg.MODEL.P2SEG.FALLBACK_SIDE,
    )
    finished = find_finished(job)
    if finished is not None:
        return finished
    check_job(job)
    read_prompts = build_prompt_reader(cfg, annotations, plan)
    show_notes(job, cfg)
    return label_dataset(job, load_labeler(cfg, arguments.weights, **options), read_prompts)


def show_notes(job: LabelJob, cfg: CfgNode) -> None:
    """Show what is noteworthy before a job: findings of the reader, unknown classes, and a shortage of disk space."""
    from ..inference.classes import find_classes
    from ..io.annotations.records import format_note
    from ..io.pages import describe_pages
    from ..labeling.job import describe_label_shortage

    annotations, classes = job.annotations, find_classes(cfg)
    for line in [
        *(format_note(note) for note in annotations.notes if note.rule not in _UNREPORTED),
        describe_pages(annotations.image_root, [image["file_name"] for image in annotations.content["images"]]),
        compare_classes(annotations, classes.names if classes.known else ()),
        describe_label_shortage(job),
    ]:
        if line:
            show(line, error=True)


def read_truth(arguments: argparse.Namespace) -> AnnotationSet | None:
    """Read the ground truth that ``--evaluate`` names, before the job; None = that of the input, or none.

    Raises:
        ValueError, OSError: the file cannot be read.
    """
    if not arguments.evaluate:
        return None
    from ..evaluation.coco_ground_truth import read_annotations_alone

    return read_annotations_alone(arguments.evaluate).annotations


def compare_classes(annotations: AnnotationSet, names: tuple[str, ...]) -> str:
    """Describe classes of the input that the network was not trained with; "" if there are none.

    Args:
        annotations: the input.
        names: class names of the network; () if they are not known.
    """
    from ..io.annotations.classes import match_classes

    unknown = match_classes(names, [entry["name"] for entry in annotations.content["categories"]]).unknown
    if not names or not unknown:
        return ""
    first = ", ".join(repr(name) for name in unknown[:5]) + (" ..." if len(unknown) > 5 else "")
    return (
        f"{len(unknown)} classes of {annotations.source} are not classes of the network ({first}); their objects are "
        "labeled too, because labeling does not depend on classes"
    )


def format_summary(summary: LabelSummary, arguments: argparse.Namespace, truth: AnnotationSet | None = None) -> str:
    """Format the result of the job; draws the review pages and compares with ground-truth masks if requested."""
    from ..labeling.review import review_labels

    lines = []
    if summary.resumed:
        lines.append(f"{summary.resumed} images were labeled by an earlier call")
    if summary.started_over:
        lines.append("partial results of other inputs or options were discarded")
    done = "were labeled by an earlier call with the same inputs" if summary.was_finished else "labeled"
    lines.append(f"{summary.counts} {done}: {arguments.output}")
    if summary.fallbacks:
        lines.append(f"{summary.fallbacks} points have a square instead of a mask (fallback): no pixel belongs to them")
    if summary.plan.kept:
        lines.append(f"{len(summary.plan.kept)} objects with a mask or box are unchanged")
    if summary.empty:
        lines.append(f"{summary.empty} of them have an empty mask: no pixel has a probability above 0.5")
    if summary.crowds:
        lines.append(f"{summary.crowds} crowds (iscrowd 1) are unchanged")
    if arguments.review:
        folder = arguments.output.with_name(f"{arguments.output.stem}_review")
        pages = review_labels(summary.annotations, summary.labels, folder, arguments.review, summary.plan)
        lines += [f"review   {page}" for page in pages]
    if arguments.evaluate is not None:
        lines.append(format_quality(summary, truth))
    return "\n".join(lines)


def format_quality(summary: LabelSummary, truth: AnnotationSet | None) -> str:
    """Compare the labels with the masks of the truth, or of the input if it is None, and format the result.

    Raises:
        ValueError: there are no masks to compare with.
    """
    from ..labeling.review import evaluate_labels, measure_labels

    if truth is not None:
        return str(measure_labels(summary.annotations, summary.labels, truth, summary.plan))
    return str(evaluate_labels(summary.annotations, summary.labels))
