"""Boxes in, masks out: every box of a COCO json gets the mask that a trained network sees in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.depth_io import DepthFileError
from ..io.coco_json import BoxFile, Entry, clip_box, read_boxes
from ..io.coco_masks import FORMATS, rle_to_polygons, to_rle
from ..io.files import atomic_open
from ..io.media import MediaError, read_picture
from .box_labeler import BoxMask
from .partial_results import Sidecar

Picture = NDArray[np.uint8]
# From an image's entry, its picture and boxes (N, 4) xyxy to their masks.
Label = Callable[[Entry, Picture, NDArray[np.float64]], list[BoxMask]]


@dataclass(frozen=True)
class LabelJob:
    """What is to be labelled.

    Attributes:
        json_file: COCO json of the boxes.
        images: folder of the images.
        output: json to write.
        mask_format: "rle" or "polygons".
        job: a word for everything that decides the masks; with another one an unfinished job starts over.
        overwrite: replace ``output`` where it exists.
    """

    json_file: Path
    images: Path
    output: Path
    mask_format: str = "rle"
    job: str = ""
    overwrite: bool = False

    @property
    def sidecar(self) -> Path:
        """The file that holds what is finished, until all of it is."""
        return self.output.with_name(self.output.name + ".partial.jsonl")

    def named(self, job: str) -> LabelJob:
        """The same with a word for what decides the masks."""
        return replace(self, job=job)


@dataclass
class LabelSummary:
    """What came of it.

    Attributes:
        boxes: the input.
        labels: annotation id -> ``{"segmentation": RLE, "score": quality, "area": pixels}``.
        problems: a line for each image and box that got no mask.
        continued: images that an earlier, stopped call had finished.
        started_over: the earlier, stopped call had been another job.
    """

    boxes: BoxFile
    labels: dict[Any, Entry] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    continued: int = 0
    started_over: bool = False

    @property
    def empty(self) -> int:
        """How many boxes the network saw nothing in."""
        return sum(label["area"] == 0 for label in self.labels.values())


def label_boxes(job: LabelJob, label: Label) -> LabelSummary:
    """Label all boxes and write the json; a job that was stopped goes on where it was.

    Args:
        job: what to label.
        label: computes the masks, see ``labeling_network.load_box_labeler``.

    Returns:
        What came of it. Images and boxes that got no mask are named in ``problems``.

    Raises:
        FileNotFoundError: the json or the folder is missing.
        FileExistsError: the output exists already, and is not to be overwritten.
        ValueError: the json is no COCO json, the output is the input, or an unknown format.
    """
    from tqdm import tqdm

    check_job(job)
    boxes = read_boxes(job.json_file)
    summary = LabelSummary(boxes, problems=list(boxes.problems))
    todo = [image for image in boxes.images if boxes.by_image[image["id"]]]
    with Sidecar(job.sidecar, job.job) as sidecar:
        summary.continued, summary.started_over = len(sidecar.done), sidecar.was_other_job
        for image in tqdm(todo, unit="image", desc="label"):
            if image["id"] in sidecar.done:
                continue
            try:
                labels = _label_image(job, image, boxes.by_image[image["id"]], label)
            except (MediaError, DepthFileError) as error:
                summary.problems.append(str(error))
                continue
            sidecar.add(image["id"], labels)
        for image in todo:
            for entry in sidecar.done.get(image["id"], {}).get("labels", []):
                _take_in(summary, image, entry)
        write_labels(job, summary)
        sidecar.remove()
    return summary


def check_job(job: LabelJob) -> None:
    """Raise where a job cannot run, before the network is built; see ``label_boxes``."""
    if job.mask_format not in FORMATS:
        raise ValueError(f"masks are written as {' or '.join(FORMATS)}, not '{job.mask_format}'")
    if not job.json_file.is_file():
        raise FileNotFoundError(f"there is no file {job.json_file}")
    if not job.images.is_dir():
        raise FileNotFoundError(f"there is no image folder {job.images}")
    if job.output.resolve() == job.json_file.resolve():
        raise ValueError(f"--output {job.output} would overwrite the boxes: give it another name")
    if job.output.is_dir():
        raise ValueError(f"--output {job.output} is a folder: name a json file in it")
    if job.output.exists() and not job.overwrite:
        raise FileExistsError(f"{job.output} exists already: choose another --output, or add --overwrite")


def write_labels(job: LabelJob, summary: LabelSummary) -> None:
    """Write the json of the input with the masks: all else in it, ids included, stays as it was.

    Boxes without a mask lose the ``segmentation`` that they may have had, and have score 0. Crowds stay as they are.
    """
    named = {annotation["id"] for found in summary.boxes.by_image.values() for annotation in found}
    annotations = []
    for annotation in summary.boxes.content["annotations"]:
        result = dict(annotation)
        if annotation.get("iscrowd", 0) != 1:
            result.pop("segmentation", None)
            result |= {"iscrowd": 0, "score": 0.0}
            if annotation["id"] in named:
                result |= _written(summary.labels.get(annotation["id"]), job.mask_format)
        annotations.append(result)
    content = {**summary.boxes.content, "annotations": annotations}
    with atomic_open(job.output) as file:
        file.write(json.dumps(content).encode() + b"\n")


def _written(label: Entry | None, mask_format: str) -> Entry:
    """The keys that an annotation gains by its mask."""
    if label is None or label["area"] == 0:
        return {}
    segmentation: Any = label["segmentation"]
    if mask_format == "polygons":
        segmentation = rle_to_polygons(segmentation)
    return {"segmentation": segmentation, "area": label["area"], "score": label["score"]} if segmentation else {}


def _label_image(job: LabelJob, image: Entry, annotations: Sequence[Entry], label: Label) -> list[Entry]:
    picture = read_picture(job.images / image["file_name"])
    size = (picture.shape[0], picture.shape[1])
    told = (image.get("height", size[0]), image.get("width", size[1]))
    if told != size:
        raise MediaError(
            f"the image {job.images / image['file_name']} is {size[0]} x {size[1]} (height x width), the json says "
            f"{told[0]} x {told[1]}: its boxes belong to another size (`depthbox check` says more)"
        )
    clipped = [clip_box(annotation["bbox"], size) for annotation in annotations]
    inside = [place for place, box in enumerate(clipped) if box is not None]
    masks = label(image, picture, np.array([clipped[place] for place in inside]).reshape(-1, 4)) if inside else []
    labels: list[Entry] = [{"id": annotation["id"], "outside": True} for annotation in annotations]
    for place, found in zip(inside, masks, strict=True):
        mask = found.mask.numpy()
        labels[place] = {
            "id": annotations[place]["id"],
            "segmentation": to_rle(mask, found.left, found.top, size),
            "score": found.score,
            "area": int(mask.sum()),
        }
    return labels


def _take_in(summary: LabelSummary, image: Entry, entry: Entry) -> None:
    where = f"annotation {entry['id']} of {image['file_name']}"
    if entry.get("outside"):
        summary.problems.append(f"{where}: the box lies outside the image")
        return
    summary.labels[entry["id"]] = {key: entry[key] for key in ("segmentation", "score", "area")}
