"""Images that get pseudo depth, with the file and size of each map."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...io.annotations.canonical import canonicalize
from ...io.annotations.detect import read_annotation_file
from ...io.annotations.records import Note
from ...io.images import IMAGE_SUFFIXES, image_size, list_images, read_image
from ...io.pages import count_pages
from ...io.untrusted.arrays import read_png_header
from .model import PseudoDepthError

Size = tuple[int, int]
DEPTH_SUFFIX = ".png"
# Formats that may hold several pages or frames. A second image in a JPEG file is a preview.


@dataclass(frozen=True)
class DepthItem:
    """An image file, the file of its depth map, and (height, width) if the annotations have it."""

    image: Path
    depth: Path
    size: Size | None = None


@dataclass(frozen=True)
class DepthItemList:
    """Images of a dataset.

    Attributes:
        items: images, sorted by the name of the depth map.
        notes: findings of the reader of the annotations.
    """

    items: list[DepthItem]
    notes: tuple[Note, ...] = ()

    @property
    def unreadable(self) -> int:
        """Number of images that are not in ``items`` because their files cannot be read."""
        return sum(note.count for note in self.notes if note.rule == "image_unreadable")


def list_items(
    images: str | os.PathLike[str] | None,
    output: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    split: str = "train",
) -> DepthItemList:
    """List the images of a dataset, or all images of a folder and its sub-folders.

    Args:
        images: image folder; None = as the annotations define it.
        output: folder of the depth maps, with the same sub-folders and names, ending in .png.
        data: annotations of any format that ``depthbox train --data`` reads; None = every image file in the folder.
        split: split of a divided dataset.

    Raises:
        PseudoDepthError: the folder does not exist or has no images, the output folder is inside of the image
            folder, or images would share a depth map (a.jpg and a.png in one folder).
        AnnotationError: the annotations cannot be read.
    """
    output = Path(output)
    listed = _list_folder(images, output) if data is None else _list_annotated(images, output, data, split)
    _require_unique(listed.items)
    return DepthItemList(sorted(listed.items, key=lambda item: item.depth), listed.notes)


def take_shard(items: Sequence[DepthItem], number: int, count: int) -> list[DepthItem]:
    """Return shard ``number`` (from 0) of ``count``; shards do not overlap, and together they hold all items.

    Raises:
        PseudoDepthError: the number is not in 0 .. count - 1.
    """
    if not 0 <= number < count:
        raise PseudoDepthError(f"shard {number} of {count}: shards are numbered 0 to {count - 1}")
    return list(items[number::count])


def output_size(image_size: Size, short_side: int | None) -> Size:
    """Return (height, width) of a depth map: that of the image, or shrunk to ``short_side``, never enlarged."""
    short = min(image_size)
    if short_side is None or short_side >= short:
        return image_size
    height, width = (max(1, round(side * short_side / short)) for side in image_size)
    return height, width


def is_complete(item: DepthItem, short_side: int | None) -> bool:
    """Return whether a depth map exists, is 16-bit gray and has the right size, according to file headers."""
    try:
        header = read_png_header(item.depth)
        size = output_size(item.size or image_size(item.image), short_side)
        return header.is_gray_16 and header.size == size
    except (OSError, ValueError):
        return False


def read_rgb(item: DepthItem) -> NDArray[np.uint8]:
    """Read the image of an item as in training: (H, W, 3) uint8 RGB, upright by its EXIF orientation.

    Raises:
        ImageError: the image file cannot be read.
        PseudoDepthError: the size of the image differs from that in the annotations.
    """
    image = read_image(item.image)
    size = (image.shape[0], image.shape[1])
    if item.size is not None and size != item.size:
        raise PseudoDepthError(
            f"the image {item.image} is {size[0]} x {size[1]} (height x width), in the annotations it is "
            f"{item.size[0]} x {item.size[1]}"
        )
    return image


def has_several_pages(item: DepthItem) -> bool:
    """Return whether the image file of an item has several pages or frames, of which the first one is read.

    Raises:
        ImageError: the image file cannot be read.
    """
    return count_pages(item.image) > 1


def _list_folder(images: str | os.PathLike[str] | None, output: Path) -> DepthItemList:
    if images is None or not os.path.isdir(images):
        raise PseudoDepthError(f"the image folder {images} does not exist")
    folder = Path(images)
    if output.resolve().is_relative_to(folder.resolve()):
        raise _among_images(output, folder)
    names = list_images(folder)
    if not names:
        raise PseudoDepthError(f"the folder {folder} has no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return DepthItemList([DepthItem(folder / name, _depth_file(output, name)) for name in names])


def _list_annotated(
    images: str | os.PathLike[str] | None, output: Path, data: str | os.PathLike[str], split: str
) -> DepthItemList:
    root = None if images is None else os.fspath(images)
    annotations = canonicalize(read_annotation_file(os.fspath(data), root, split), check_files=True)
    folder = annotations.image_root
    if output.resolve() == folder.resolve():
        raise _among_images(output, folder)
    listed = annotations.content["images"]
    items = [
        DepthItem(folder / name, _depth_file(output, name), (entry["height"], entry["width"]))
        for entry in listed
        for name in [entry["file_name"]]
    ]
    if len(annotations.missing) == len(listed):
        raise PseudoDepthError(
            f"none of the {len(items)} images of {data} exists in {folder} (such as {items[0].image}): correct the "
            "image folder"
        )
    # The items include missing images, each of which is reported as a failure.
    return DepthItemList(items, tuple(note for note in annotations.notes if note.rule != "image_missing"))


def _depth_file(output: Path, name: str) -> Path:
    return (output / name).with_suffix(DEPTH_SUFFIX)


def _among_images(output: Path, images: Path) -> PseudoDepthError:
    return PseudoDepthError(f"the depth maps in {output} would lie among the images of {images}: choose another folder")


def _require_unique(items: Iterable[DepthItem]) -> None:
    sharing: defaultdict[Path, list[Path]] = defaultdict(list)
    for item in items:
        sharing[item.depth].append(item.image)
    for depth, names in sharing.items():
        if len(names) > 1:
            raise PseudoDepthError(
                f"{' and '.join(str(name) for name in names)} would share the depth map {depth}: rename one of them"
            )
