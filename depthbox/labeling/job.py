"""Labeling of a dataset: each prompted object gets the mask that a labeler computes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.depth_io import DepthFileError
from ..io.annotations.records import AnnotationSet
from ..io.coco_masks import MASK_FORMATS, crop_to_rle
from ..io.files import WriteError, remove_stale
from ..io.folder_lock import FolderInUseError, lock_folder
from ..io.images import ImageError, read_image
from ..io.write_errors import describe_shortage, require_writable
from .output import digest_images, read_labels, write_labels
from .partial_results import ObjectLabel, PartialResults
from .prompts import BOXES_ONLY, Entry, Labeler, PromptPlan, PromptReader, read_box_prompts
from .summary import LabelSummary

_PURPOSE = "labeling job"
_INPUT_BYTES, _MASK_BYTES = 150, 350  # of an annotation in the input, and of an encoded mask


class SizeMismatchError(ValueError):
    """An image whose size contradicts its annotations."""


@dataclass(frozen=True)
class LabelJob:
    """Input and output of a labeling job.

    Attributes:
        annotations: dataset to label.
        output: COCO JSON file to write.
        mask_format: "rle" or "polygons".
        fingerprint: hash of everything that determines the masks; an unfinished job of another hash starts over.
            "" = the finished job is not recognized when it is repeated.
        overwrite: replace ``output`` if it exists.
        plan: objects labeled from points, and objects that stay as they are; by default all are labeled from boxes.
        fallback_side: side in pixels of the squares in place of empty masks of points; 0 = the median of their class.
    """

    annotations: AnnotationSet
    output: Path
    mask_format: str = "rle"
    fingerprint: str = ""
    overwrite: bool = False
    plan: PromptPlan = BOXES_ONLY
    fallback_side: float = 0.0

    @property
    def partial_file(self) -> Path:
        """The file of the finished images, while the job is unfinished."""
        return self.output.with_name(self.output.name + ".partial.jsonl")

    @property
    def stamp(self) -> dict[str, str]:
        """Description of the job in its output, by which a repeated job recognizes it."""
        images = digest_images(self.annotations)
        return {"job": self.fingerprint, "images": images, "format": self.mask_format}


def label_dataset(job: LabelJob, label: Labeler, read_prompts: PromptReader = read_box_prompts) -> LabelSummary:
    """Label all objects and write the JSON file. A stopped job is resumed.

    Args:
        job: dataset, output and options.
        label: computes the masks, such as ``labeling.loading.load_labeler``.
        read_prompts: function from the annotations of an image to its prompts.

    Raises:
        FileExistsError, ValueError: see ``check_job``.
        FolderInUseError: another process writes the output.
        WriteError: the output or the partial results cannot be written; the finished images are kept.
    """
    check_job(job)
    summary = LabelSummary(job.annotations, job.plan)
    with lock_folder(job.output.parent, _PURPOSE, job.output.name):
        remove_stale(job.output.parent)
        try:
            with PartialResults(job.partial_file, job.fingerprint) as partial:
                summary.started_over = partial.was_other_job
                _label_images(job, label, read_prompts, partial, summary)
                summary.add_labels(partial, job.fallback_side)
                stamp = job.stamp if job.fingerprint else {}
                write_labels(job.output, job.annotations, summary.labels, job.mask_format, stamp, job.plan)
                partial.remove()
        except WriteError as error:
            kept = f". The finished images are kept in {job.partial_file}: the same command resumes"
            raise WriteError(f"{error}{kept * job.partial_file.is_file()}", error.path, error.errno) from error
    return summary


def find_finished(job: LabelJob) -> LabelSummary | None:
    """Return the result of an earlier call that finished a job with the same inputs; None if there is none.

    Files that the earlier call left, because it was killed after the output was written, are removed.
    """
    if job.overwrite or not job.fingerprint or not job.output.is_file():
        return None
    labels = read_labels(job.output, job.annotations, job.stamp, job.plan)
    if labels is None:
        return None
    with contextlib.suppress(FolderInUseError, OSError), lock_folder(job.output.parent, _PURPOSE, job.output.name):
        job.partial_file.unlink(missing_ok=True)
        remove_stale(job.output.parent)
    return LabelSummary(job.annotations, job.plan, labels, was_finished=True)


def describe_label_shortage(job: LabelJob) -> str:
    """Return a line if the disk probably has less space than the labels will take; "" otherwise.

    The masks are written twice, as partial results and as output.
    """
    count = len(job.annotations.content["annotations"])
    return describe_shortage(job.output.parent, _INPUT_BYTES * count + 2 * _MASK_BYTES * count)


def check_job(job: LabelJob) -> None:
    """Check the options of a job before it is run.

    Raises:
        FileExistsError: the output exists, and the job does not overwrite it.
        ValueError: the output is the input or a folder, the mask format is unknown, or an object has no box although it
            would be labeled from its box.
        WriteError: the folder of the output cannot be written.
    """
    if job.mask_format not in MASK_FORMATS:
        raise ValueError(f"masks are written as {' or '.join(MASK_FORMATS)}, not '{job.mask_format}'")
    if job.output.resolve() == job.annotations.source.resolve():
        raise ValueError(f"--output {job.output} would overwrite the input: choose another name")
    if job.output.is_dir():
        raise ValueError(f"--output {job.output} is a folder: name a JSON file in it")
    if job.output.exists() and not job.overwrite:
        raise FileExistsError(f"{job.output} exists already: choose another --output, or add --overwrite")
    _require_boxes(job)
    require_writable(job.output)


def group_objects(annotations: AnnotationSet) -> dict[int, list[Entry]]:
    """Group the objects, without crowds, by the canonical id of their image."""
    groups: dict[int, list[Entry]] = {image["id"]: [] for image in annotations.content["images"]}
    for entry in annotations.content["annotations"]:
        if entry["iscrowd"] == 0:
            groups[entry["image_id"]].append(entry)
    return groups


def _require_boxes(job: LabelJob) -> None:
    entries = job.annotations.content["annotations"]
    others = job.plan.points | job.plan.kept
    missing = [entry["id"] for entry in entries if "bbox" not in entry and entry["id"] not in others]
    if missing:
        raise ValueError(
            f"{job.annotations.source} has {len(missing)} objects without a box (such as annotation "
            f"{job.annotations.ids.annotations[missing[0]]}): label their points with `depthbox label`"
        )


def _label_images(
    job: LabelJob, label: Labeler, read_prompts: PromptReader, partial: PartialResults, summary: LabelSummary
) -> None:
    from tqdm import tqdm

    groups = group_objects(job.annotations)
    labeled = {
        number: [job.annotations.positions[entry["id"]] for entry in objects if entry["id"] not in job.plan.kept]
        for number, objects in groups.items()
    }
    images = [image for image in job.annotations.content["images"] if labeled[image["id"]]]
    for image in tqdm(images, unit="image", desc="label"):
        objects = groups[image["id"]]
        if all(position in partial.labels for position in labeled[image["id"]]):
            summary.resumed += 1
            continue
        try:
            partial.add(_label_image(job, image, objects, label, read_prompts))
        except (ImageError, DepthFileError, SizeMismatchError) as error:
            summary.problems.append(str(error))


def _label_image(
    job: LabelJob, image: Entry, objects: Sequence[Entry], label: Labeler, read_prompts: PromptReader
) -> dict[int, ObjectLabel]:
    pixels = read_image(job.annotations.image_root / image["file_name"])
    size = (pixels.shape[0], pixels.shape[1])
    _require_size(job, image, size)
    prompts = read_prompts(objects, size)
    masks = label(image, pixels, prompts) if len(prompts.annotations) else []
    positions = job.annotations.positions
    labels = {positions[entry["id"]]: ObjectLabel(None) for entry in objects if entry["id"] not in job.plan.kept}
    for entry, found in zip(prompts.annotations, masks, strict=True):
        mask = found.mask.numpy()
        if entry["id"] in job.plan.points and not mask.any():
            labels[positions[entry["id"]]] = ObjectLabel(None, found.score, fallback=True)
            continue
        rle = crop_to_rle(mask, found.left, found.top, size)
        labels[positions[entry["id"]]] = ObjectLabel(rle, found.score, int(mask.sum()))
    return labels


def _require_size(job: LabelJob, image: Entry, size: tuple[int, int]) -> None:
    stated = (image["height"], image["width"])
    if stated != size:
        raise SizeMismatchError(
            f"the image {job.annotations.image_root / image['file_name']} is {size[0]} x {size[1]} (height x width), "
            f"but {job.annotations.source} says {stated[0]} x {stated[1]}, so its annotations do not fit: use the "
            "annotated images (`depthbox check` lists all contradictions)"
        )
