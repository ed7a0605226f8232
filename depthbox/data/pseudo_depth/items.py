"""Which images get pseudo depth, where each map goes, and how large it is."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from detectron2.data import detection_utils
from numpy.typing import NDArray
from PIL import Image

from .model import PseudoDepthError

Size = tuple[int, int]
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
DEPTH_SUFFIX = ".png"

_EXIF_ORIENTATION = 274
_TURNED = (5, 6, 7, 8)  # orientations that exchange height and width


@dataclass(frozen=True)
class DepthItem:
    """An image file, the file of its depth map, and (height, width) where the json tells them."""

    image: Path
    depth: Path
    size: Size | None = None


def list_items(
    images: str | os.PathLike[str], output: str | os.PathLike[str], json_file: str | os.PathLike[str] | None = None
) -> list[DepthItem]:
    """List the images of a COCO json, or all of a folder and its sub-folders.

    Args:
        images: folder of the images.
        output: folder of the depth maps: the same sub-folders and names, ending in .png.
        json_file: COCO json; None = every image file in the folder.

    Returns:
        One item an image, sorted by the name of its depth map.

    Raises:
        PseudoDepthError: no such folder, no image, a malformed json, an output folder among the images, or images
            that would share a depth map (a.jpg and a.png in one folder).
    """
    images, output = Path(images), Path(output)
    if not images.is_dir():
        raise PseudoDepthError(f"there is no image folder {images}")
    inside = output.resolve().is_relative_to(images.resolve())
    if output.resolve() == images.resolve() or (inside and json_file is None):
        raise PseudoDepthError(f"depth maps in {output} would lie among the images of {images}: choose another folder")
    sizes = _walk(images) if json_file is None else _read_json(Path(json_file), images)
    items = [DepthItem(images / name, (output / name).with_suffix(DEPTH_SUFFIX), sizes[name]) for name in sizes]
    _check_unique(items)
    _check_some_exist(items, images, json_file)
    return sorted(items, key=lambda item: item.depth)


def take_shard(items: Sequence[DepthItem], number: int, count: int) -> list[DepthItem]:
    """Share ``number`` (from 0) of ``count``; shares do not overlap and together are all.

    Raises:
        PseudoDepthError: a number that is not in 0 .. count - 1.
    """
    if not 0 <= number < count:
        raise PseudoDepthError(f"shard {number} of {count}: shards are numbered 0 to {count - 1}")
    return list(items[number::count])


def output_size(image_size: Size, short_side: int | None) -> Size:
    """(height, width) of the depth map of an image: its own, or shrunk to ``short_side``, never enlarged."""
    short = min(image_size)
    if short_side is None or short_side >= short:
        return image_size
    height, width = (max(1, round(side * short_side / short)) for side in image_size)
    return height, width


def is_complete(item: DepthItem, short_side: int | None) -> bool:
    """Whether an item's depth map is there, 16-bit grey and of the right size, by the heads of the files."""
    try:
        with Image.open(item.depth) as image:
            right_kind = image.format == "PNG" and (image.mode == "I" or image.mode.startswith("I;16"))
            size = (image.height, image.width)
        return right_kind and size == output_size(item.size or _head_size(item.image), short_side)
    except (OSError, SyntaxError, ValueError):
        return False


def read_rgb(item: DepthItem) -> NDArray[np.uint8]:
    """Read an item's image as the training does: (H, W, 3) uint8 RGB, turned as its EXIF data say.

    Raises:
        PseudoDepthError: its size is not that in the json.
        Exception: whatever the decoder of a broken file raises.
    """
    image = np.array(detection_utils.read_image(str(item.image), format="RGB"))  # a copy: torch wants it writable
    size = (image.shape[0], image.shape[1])
    if item.size is not None and size != item.size:
        raise PseudoDepthError(
            f"the image is {size[0]} x {size[1]} (height x width), the json says {item.size[0]} x {item.size[1]}"
        )
    return image


def _walk(images: Path) -> dict[str, Size | None]:
    """Names of the image files below a folder, relative to it; hidden ones are left out."""
    names: dict[str, Size | None] = {}
    for folder, subfolders, files in os.walk(images):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for file in files:
            if Path(file).suffix.lower() in IMAGE_SUFFIXES and not file.startswith("."):
                names[os.path.relpath(os.path.join(folder, file), images)] = None
    if not names:
        raise PseudoDepthError(f"there is no image ({', '.join(IMAGE_SUFFIXES)}) in {images}")
    return names


def _read_json(json_file: Path, images: Path) -> dict[str, Size | None]:
    names: dict[str, Size | None] = {}
    try:
        records = json.loads(json_file.read_text(encoding="utf-8"))["images"]
        for record in records:
            name = os.path.relpath(os.path.join(images, record["file_name"]), images)
            known = "height" in record and "width" in record
            names[name] = (int(record["height"]), int(record["width"])) if known else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PseudoDepthError(
            f"{json_file} is no COCO json: it must hold images, each with a file_name ({type(error).__name__}: {error})"
        ) from error
    if not names:
        raise PseudoDepthError(f"{json_file} lists no image")
    outside = [name for name in names if name.split(os.sep)[0] == os.pardir]
    if outside:
        raise PseudoDepthError(f"{json_file} lists {outside[0]}, which lies outside the image folder {images}")
    return names


def _check_unique(items: Iterable[DepthItem]) -> None:
    sharing: defaultdict[Path, list[Path]] = defaultdict(list)
    for item in items:
        sharing[item.depth].append(item.image)
    for depth, names in sharing.items():
        if len(names) > 1:
            raise PseudoDepthError(
                f"{' and '.join(str(name) for name in names)} would share the depth map {depth}: rename one of them"
            )


def _check_some_exist(items: Sequence[DepthItem], images: Path, json_file: str | os.PathLike[str] | None) -> None:
    if not any(item.image.is_file() for item in items):
        raise PseudoDepthError(
            f"none of the {len(items)} images of {json_file} is in {images} (the first: {items[0].image}); "
            "correct the image folder"
        )


def _head_size(path: Path) -> Size:
    """(height, width) of an image as it will be read, from the head of its file."""
    with Image.open(path) as image:
        turned = image.getexif().get(_EXIF_ORIENTATION) in _TURNED
        return (image.width, image.height) if turned else (image.height, image.width)
