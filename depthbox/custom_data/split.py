"""Training and validation set of a user's images: their choice, description and comparison."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.annotations.kinds import object_kind
from ..io.annotations.records import CocoContent
from .sources import OwnDataError


@dataclass(frozen=True)
class KindCounts:
    """Numbers of objects by their strongest annotation, without crowds."""

    mask: int = 0
    box: int = 0
    point: int = 0

    @property
    def total(self) -> int:
        """Number of all objects."""
        return self.mask + self.box + self.point


@dataclass(frozen=True)
class Split:
    """Training or validation set of a run.

    Attributes:
        json_file: absolute path of its COCO JSON file, which ``write_splits`` writes.
        images: absolute path of its image folder.
        content: COCO content with the user's ids, if they are usable.
        count: number of images.
        annotated: number of images with objects.
        objects: numbers of objects, without crowds.
    """

    json_file: Path
    images: Path
    content: CocoContent
    count: int
    annotated: int
    kinds: KindCounts

    @property
    def objects(self) -> int:
        """Number of objects, without crowds."""
        return self.kinds.total

    @property
    def masks(self) -> bool:
        """True if an object has an outline."""
        return self.kinds.mask > 0


def split_content(content: CocoContent, share: float, seed: int, source: Path) -> list[CocoContent]:
    """Divide COCO content into training and validation images; ``share`` 0 omits validation.

    Raises:
        OwnDataError: there is a single image.
    """
    if share == 0:
        return [content]
    names = [image["file_name"] for image in content["images"]]
    if len(names) < 2:
        raise OwnDataError(f"{source} has a single image, which cannot be split: give --val-data or --val-share 0")
    objects = {entry["image_id"] for entry in content["annotations"] if not entry["iscrowd"]}
    annotated = {image["file_name"] for image in content["images"] if image["id"] in objects}
    val = split_names(names, share, seed, annotated)
    return [take_images(content, set(names) - val), take_images(content, val)]


def split_names(names: Sequence[str], share: float, seed: int, annotated: set[str] | None = None) -> set[str]:
    """Choose the images of the validation set.

    A share of the images with objects is taken, at least one and never all, and the same share of those without. The
    names are ordered by a hash, so that few images change sides when others are added.

    Args:
        names: N image names.
        share: share of the validation set, in (0, 1).
        seed: seed of the choice.
        annotated: images with objects; None = all.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    with_objects = [name for name in order if annotated is None or name in annotated]
    without = [name for name in order if annotated is not None and name not in annotated]
    count = min(len(with_objects) - 1, max(1, round(share * len(with_objects)))) if with_objects else 0
    return {*with_objects[:count], *without[: round(share * len(without))]}


def take_images(content: CocoContent, names: set[str]) -> CocoContent:
    """Return the part of COCO content that belongs to some images, otherwise unchanged."""
    images = [image for image in content["images"] if image["file_name"] in names]
    ids = {image["id"] for image in images}
    annotations = [annotation for annotation in content["annotations"] if annotation["image_id"] in ids]
    return {**content, "images": images, "annotations": annotations}


def describe_split(json_file: Path, images: Path, content: CocoContent) -> Split:
    """Count the images and objects of a set."""
    objects = [entry for entry in content["annotations"] if not entry.get("iscrowd")]
    annotated = len({entry["image_id"] for entry in objects})
    return Split(json_file, images, content, len(content["images"]), annotated, count_kinds(content))


def measure_objects(content: CocoContent) -> float:
    """Return the median side of the boxes as a share of the short side of their images; 0 without a box."""
    sides = {image["id"]: min(image["height"], image["width"]) for image in content["images"]}
    shares = [
        math.sqrt(entry["bbox"][2] * entry["bbox"][3]) / sides[entry["image_id"]]
        for entry in content["annotations"]
        if not entry.get("iscrowd") and "bbox" in entry
    ]
    return statistics.median(shares) if shares else 0.0


def count_kinds(content: CocoContent) -> KindCounts:
    """Count the objects of COCO content by their strongest annotation."""
    counts = Counter(object_kind(entry) for entry in content["annotations"] if not entry.get("iscrowd"))
    return KindCounts(counts["mask"], counts["box"], counts["point"])


def fingerprint_content(content: Mapping[str, Any]) -> str:
    """Hash the images, objects and classes of a set; masks are not included."""
    keys = {
        "images": ("file_name", "height", "width", "background_points"),
        "annotations": ("bbox", "category_id", "iscrowd", "point_coords", "point_labels"),
    }
    parts = [[[entry.get(key) for key in names] for entry in content.get(name, ())] for name, names in keys.items()]
    categories = [[entry.get("id"), entry.get("name")] for entry in content.get("categories", ())]
    return hashlib.sha256(repr([*parts, categories]).encode()).hexdigest()
