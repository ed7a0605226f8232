"""Which files of the image and depth folders belong to the json, and which are missing or left over."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..depth_io import DEPTH_SUFFIXES
from ..pseudo_depth.items import IMAGE_SUFFIXES
from .findings import Example, Findings
from .records import ImageRecord


def list_files(folder: Path, suffixes: Sequence[str]) -> set[str]:
    """Names of the files below a folder, relative to it; hidden ones are left out."""
    names = set()
    for place, subfolders, files in os.walk(folder, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        start = os.path.relpath(place, folder)
        for file in files:
            if not file.startswith(".") and os.path.splitext(file)[1].lower() in suffixes:
                names.add(os.path.normpath(os.path.join(start, file)))
    return names


def check_image_files(images: Sequence[ImageRecord], folder: Path, findings: Findings) -> list[ImageRecord]:
    """Look for the image files, by their names alone.

    Args:
        images: of the json.
        folder: the image folder.
        findings: takes in files that are missing or not in the json.

    Returns:
        The images whose files are there.
    """
    names = list_files(folder, IMAGE_SUFFIXES)
    wanted = {os.path.normpath(image.file_name) for image in images}
    present: list[ImageRecord] = []
    missing: list[ImageRecord] = []
    for image in images:
        here = os.path.normpath(image.file_name) in names or (folder / image.file_name).is_file()
        (present if here else missing).append(image)
    # Letter case, suffix and sub-folder are what file names lose most often.
    alike = {_bare(name): name for name in sorted(names, reverse=True)} if missing else {}
    for image in missing:
        other = alike.get(_bare(image.file_name))
        hint = f"the folder has {other}" if other else "no file of a similar name either"
        findings.add("image_missing", Example(hint, image.file_name, image.id))
    for name in sorted(names - wanted):
        findings.add("image_unlisted", Example("", name))
    return present


def check_depth_files(images: Sequence[ImageRecord], folder: Path, findings: Findings) -> dict[str, str]:
    """Look for the depth files as training does: the image's name with .png or .npy.

    Args:
        images: of the json.
        folder: the depth folder.
        findings: takes in maps that are missing, shared by images, or of no image.

    Returns:
        Name of the depth file, relative to the folder, by the image's name.
    """
    names = list_files(folder, DEPTH_SUFFIXES)
    unused = set(names)
    found: dict[str, str] = {}
    owner: dict[str, str] = {}
    for image in images:
        stem = os.path.normpath(os.path.splitext(image.file_name)[0])
        candidates = [stem + suffix for suffix in DEPTH_SUFFIXES]
        unused.difference_update(candidates)
        depth = next((name for name in candidates if name in names), "")
        if not depth:
            findings.add("depth_missing", Example(f"there is no {candidates[0]} or .npy", image.file_name, image.id))
        elif owner.setdefault(depth, image.file_name) != image.file_name:
            findings.add("depth_shared", Example(f"{depth} is that of {owner[depth]} too", image.file_name, image.id))
        if depth:
            found[image.file_name] = depth
    for name in sorted(unused):
        findings.add("depth_unused", Example("", name, depth=True))
    return found


def _bare(name: str) -> str:
    return Path(name).stem.lower()
