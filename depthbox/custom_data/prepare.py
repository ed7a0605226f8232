"""A user's own boxes -> json files of training and validation in the output folder."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import statistics
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.check.check import CheckSettings, check_dataset
from ..data.check.report import WIDTH, summary
from ..data.formats import BoxFolder, Coco, find_format, read_boxes, voc_folder, write_json, yolo_folder

# The check of a training reads so many images at most: all of them would take minutes on large sets.
CHECKED_IMAGES = 200
FOLDER = "data"


class OwnDataError(ValueError):
    """Data that cannot be trained on; the message says what to change."""


@dataclass(frozen=True)
class OwnData:
    """What the user names.

    Attributes:
        data: COCO json, YOLO's data.yaml, or a folder of YOLO or Pascal VOC.
        images: folder of the images; None = where the format says (not for COCO).
        depth: folder of the depth maps; None = none.
        val_data, val_images: the same of the validation set; None = none, or YOLO's ``val``.
        val_share: of the images that are kept for validation where there is no ``val_data``; 0 = none.
        seed: of that choice.
    """

    data: Path
    images: Path | None = None
    depth: Path | None = None
    val_data: Path | None = None
    val_images: Path | None = None
    val_share: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Split:
    """One of the sets: its json, its images, and what is in it.

    Attributes:
        json_file, images: absolute paths.
        count: images.
        annotated: images with objects.
        objects: without crowds.
        masks: whether any object has an outline.
    """

    json_file: Path
    images: Path
    count: int
    annotated: int
    objects: int
    masks: bool


@dataclass(frozen=True)
class Prepared:
    """Both sets, and what is known of them.

    Attributes:
        train, val: the sets.
        classes: their names.
        short_side: of the training images in pixels, the median.
        object_share: median side of their objects (root of the box's area) as a share of the image's short side.
    """

    train: Split
    val: Split | None
    classes: tuple[str, ...]
    short_side: int
    object_share: float


def prepare(own: OwnData, output: Path, *, check: bool = True, min_size: int = 800, max_size: int = 1333) -> Prepared:
    """Convert, check and split; files that are made lie in OUTPUT/data, each of them whole or absent.

    Args:
        own: the user's data.
        output: folder of the run.
        check: stop where ``depthbox check`` finds errors; all of the json and some of the images are looked at.
        min_size, max_size: of the network's input, for the check.

    Raises:
        OwnDataError: errors were found (they are printed), or the sets do not fit each other.
        ValueError, OSError: files that are missing or cannot be read.
    """
    _require(own)
    folder = Path(os.path.abspath(output)) / FOLDER
    sources = _sources(own, folder)
    for place, (json_file, images) in enumerate(sources):
        if check:
            depth = None if place else own.depth
            check_or_stop(CheckSettings(json_file, images, depth, min_size, max_size, CHECKED_IMAGES))
    contents = [read_coco_file(json_file) for json_file, _ in sources]
    if len(sources) == 2:
        _require_same_classes(contents, [json_file for json_file, _ in sources])
        parts = [(*source, content) for source, content in zip(sources, contents, strict=True)]
    else:
        parts = _split_files(own, sources[0], contents[0], folder)
    splits = [_describe(*part) for part in parts]
    classes = tuple(entry["name"] for entry in sorted(contents[0]["categories"], key=lambda entry: entry["id"]))
    if not splits[0].annotated:
        raise OwnDataError(f"no image of {splits[0].json_file} has an object to learn from; lower --val-share")
    sides = {image["id"]: min(image["height"], image["width"]) for image in parts[0][2]["images"]}
    shares = [
        math.sqrt(max(entry["bbox"][2], 0) * max(entry["bbox"][3], 0)) / sides[entry["image_id"]]
        for entry in parts[0][2]["annotations"]
        if not entry.get("iscrowd", 0)
    ]
    val = splits[1] if len(splits) > 1 else None
    return Prepared(splits[0], val, classes, int(statistics.median(sides.values())), statistics.median(shares or [0.0]))


def check_or_stop(settings: CheckSettings) -> None:
    """Check a data set; what is found is printed if it stands against training, and logged in short if not.

    Raises:
        OwnDataError: there are errors.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        report = check_dataset(settings)
    if report.errors:
        print(summary(report), flush=True)
        depth = f" --depth {settings.depth}" if settings.depth else ""
        look = f"depthbox check --json {settings.json_file} --images {settings.images}{depth} --output look"
        kinds = f"{report.errors} kind{'s' * (report.errors > 1)} of errors"
        raise OwnDataError(f"{settings.json_file} has {kinds}, listed above; correct them (pictures: {look})")
    logger = logging.getLogger(__name__)
    for finding in report.findings:
        if finding.rule.severity == "warning":
            told = f"{settings.json_file.name}: {finding.rule.title}: {finding.count}. {finding.rule.remedy}"
            logger.warning("%s", textwrap.fill(told, WIDTH, subsequent_indent="  "))


def split_names(names: Sequence[str], share: float, seed: int) -> set[str]:
    """Choose the images of the validation set: a share of them, at least one and never all.

    The choice orders the names by a hash, so that images keep their side when others are added, but for a few at the
    border.
    """
    count = min(len(names) - 1, max(1, round(share * len(names))))
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    return set(order[:count])


def take_images(content: Coco, names: set[str]) -> Coco:
    """The part of a COCO content that belongs to some images; nothing else of it is changed."""
    images = [image for image in content["images"] if image["file_name"] in names]
    ids = {image["id"] for image in images}
    annotations = [annotation for annotation in content["annotations"] if annotation["image_id"] in ids]
    return {**content, "images": images, "annotations": annotations}


def read_coco_file(path: Path) -> Coco:
    """Read a COCO json of which ``check_dataset`` had nothing to say.

    Raises:
        OwnDataError: it is no COCO json all the same.
    """
    try:
        content = json.loads(path.read_bytes())
        lists = [content[key] for key in ("images", "annotations", "categories")]
    except (ValueError, KeyError, TypeError) as error:
        raise OwnDataError(f"{path} is no COCO json of boxes ({error}); depthbox check says more") from error
    if not all(isinstance(part, list) and part for part in lists):
        raise OwnDataError(f"{path} must list images, annotations and categories; depthbox check says more")
    return content


def _require(own: OwnData) -> None:
    if (own.val_data is None) != (own.val_images is None) and find_format(own.data) == "coco":
        raise OwnDataError("--val-data and --val-images belong together; give both, or neither")
    if not 0 <= own.val_share < 1:
        raise OwnDataError(f"--val-share is {own.val_share}, it must be at least 0 and below 1")


def _sources(own: OwnData, folder: Path) -> list[tuple[Path, Path]]:
    """Json and image folder of the training and, where it is named, the validation set."""
    kind = find_format(own.data)
    if own.val_data is not None and find_format(own.val_data) != kind:
        raise OwnDataError(f"--data is of the format {kind}, --val-data {own.val_data} is not; give both in one")
    if kind == "coco":
        if own.images is None:
            raise OwnDataError("a COCO json needs the folder of its images: give --images")
        pairs = [(own.data, own.images)]
        if own.val_data is not None and own.val_images is not None:
            pairs.append((own.val_data, own.val_images))
        return [(Path(os.path.abspath(file)), Path(os.path.abspath(images))) for file, images in pairs]
    folders = _folders(own, kind)
    sources = []
    for name, boxes, content in zip(("train", "val"), folders, read_boxes(folders), strict=False):
        file = write_json(content, folder / f"{kind}_{name}.json")
        sources.append((file, Path(os.path.abspath(boxes.images))))
    return sources


def _folders(own: OwnData, kind: str) -> list[BoxFolder]:
    if kind == "voc":
        first = voc_folder(own.data, own.images)
        return [first] if own.val_data is None else [first, voc_folder(own.val_data, own.val_images)]
    train = yolo_folder(own.data, "train", own.images)
    if train is None:
        raise OwnDataError(f"{own.data} names no folder 'train'; give the folder of the images with --images")
    split = "val" if own.val_data is None or own.val_images is None else "train"
    named = own.val_data is not None or own.images is None
    val = yolo_folder(own.val_data or own.data, split, own.val_images) if named else None
    return [train] if val is None else [train, val]


def _split_files(own: OwnData, source: tuple[Path, Path], content: Coco, folder: Path) -> list[tuple[Path, Path, Coco]]:
    json_file, images = source
    names = [image["file_name"] for image in content["images"]]
    if own.val_share == 0:
        return [(json_file, images, content)]
    if len(names) < 2:
        raise OwnDataError(f"{json_file} has a single image, which cannot be split; give --val-data or --val-share 0")
    val = split_names(names, own.val_share, own.seed)
    parts = {"train": take_images(content, set(names) - val), "val": take_images(content, val)}
    return [(write_json(part, folder / f"{name}.json"), images, part) for name, part in parts.items()]


def _require_same_classes(contents: Sequence[Coco], files: Sequence[Path]) -> None:
    train, val = ({entry["id"]: entry["name"] for entry in content["categories"]} for content in contents)
    if train != val:
        other = sorted(set(train.items()) ^ set(val.items()), key=str)[0]
        raise OwnDataError(
            f"{files[0]} and {files[1]} must have the same categories, but only one has id {other[0]} = '{other[1]}'"
        )


def _describe(json_file: Path, images: Path, content: Coco) -> Split:
    objects: list[dict[str, Any]] = [entry for entry in content["annotations"] if not entry.get("iscrowd", 0)]
    annotated = len({entry["image_id"] for entry in objects})
    masks = any(entry.get("segmentation") for entry in objects)
    return Split(json_file, images, len(content["images"]), annotated, len(objects), masks)
