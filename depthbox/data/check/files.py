"""Files of the image and depth folders that belong to a dataset, are missing or are left over."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...io.annotations.records import AnnotationSet
from ...io.folders import is_hidden, list_files
from ...io.images import ImageError, image_size, list_images
from ..depth_io import DEPTH_SUFFIXES
from .findings import Example, Findings
from .records import ImageRecord

# Formats whose annotation file lists the images; readers of the others name images without annotations themselves.
_LISTING = ("coco", "cvat", "labelstudio", "openimages", "points")


def check_unlisted(annotations: AnnotationSet, findings: Findings) -> None:
    """Find image files that the annotations do not list."""
    if annotations.kind not in _LISTING:
        return
    listed = {os.path.normpath(entry["file_name"]) for entry in annotations.content["images"]}
    some_unreadable = findings.count("image_unreadable") > 0  # these are listed, but left out
    for name in list_images(annotations.image_root):
        if name not in listed and not (some_unreadable and _is_unreadable(annotations.image_root / name)):
            findings.add("image_unlisted", Example("", name))


def find_depth_files(images: Sequence[ImageRecord], folder: Path, findings: Findings) -> dict[str, str]:
    """Find the depth files as training does: the image's name with the suffix .png or .npy.

    Args:
        images: of the dataset.
        folder: the depth folder.
        findings: takes maps that are missing, shared by images, or without an image.

    Returns:
        Name of the image -> name of its depth file, relative to the depth folder.
    """
    names = {name for name in list_files(folder) if Path(name).suffix in DEPTH_SUFFIXES and not is_hidden(name)}
    unused = set(names)
    found: dict[str, str] = {}
    owner: dict[str, str] = {}
    for image in images:
        stem = os.path.normpath(os.path.splitext(image.file_name)[0])
        candidates = [stem + suffix for suffix in DEPTH_SUFFIXES]
        unused.difference_update(candidates)
        depth = next((name for name in candidates if name in names), "")
        if not depth:
            findings.add(
                "depth_missing", Example(f"neither {candidates[0]} nor {candidates[1]} exists", image.file_name)
            )
        elif owner.setdefault(depth, image.file_name) != image.file_name:
            findings.add("depth_shared", Example(f"{depth} is also that of {owner[depth]}", image.file_name))
        if depth:
            found[image.file_name] = depth
    for name in sorted(unused):
        findings.add("depth_unused", Example("", name, depth=True))
    return found


def _is_unreadable(path: Path) -> bool:
    try:
        image_size(path)
    except ImageError:
        return True
    return False
