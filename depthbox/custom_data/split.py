"""Split of a user's images into training and validation images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ..io.annotations.records import CocoContent
from .sources import OwnDataError


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
