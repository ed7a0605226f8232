"""Images and boxes in the forms that Python users have them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ..io.coco_masks import clip_box
from ..io.images import RGBImage, read_image
from ..io.media import find_sources

ImageLike = str | os.PathLike[str] | Image.Image | NDArray[Any]


@dataclass(frozen=True, eq=False)
class NamedImage:
    """An image with its name in results and its source, see ``Result``."""

    name: str
    pixels: RGBImage
    source: Path | RGBImage


def as_single(images: Any) -> ImageLike | None:
    """Return the argument if it is one image, None if it stands for several."""
    if isinstance(images, str | os.PathLike):
        path = os.fspath(images)
        return None if os.path.isdir(path) or (any(c in path for c in "*?[") and not os.path.exists(path)) else images
    return images if isinstance(images, Image.Image | np.ndarray) else None


def iterate_images(images: str | os.PathLike[str] | Iterable[ImageLike]) -> Iterator[NamedImage]:
    """Read images one by one: those of a folder or pattern (videos are left out), or of an iterable."""
    if isinstance(images, str | os.PathLike):
        for source in find_sources([os.fspath(images)]):
            if source.kind == "image":
                yield NamedImage(source.name, read_image(source.path), Path(source.path))
        return
    for number, image in enumerate(images, start=1):
        yield read_named(image, f"image {number}")


def read_named(image: ImageLike, name: str = "image") -> NamedImage:
    """Read an image.

    Args:
        image: a path, a PIL image or pixels (H, W, 3) uint8, RGB.
        name: name of an image that is not a file.

    Raises:
        ImageError: the file cannot be read.
        ValueError: pixels of another shape or dtype.
    """
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        return NamedImage(path.name, read_image(path), path)
    pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise ValueError(f"pixels must be (H, W, 3) uint8, RGB, got {pixels.dtype} {pixels.shape}")
    name = os.path.basename(str(getattr(image, "filename", "") or name))
    return NamedImage(name, pixels, pixels)


def check_boxes(boxes: ArrayLike, size: tuple[int, int], xywh: bool) -> NDArray[np.float64]:
    """Return boxes as (N, 4) float64 xyxy, clipped to an image.

    Args:
        boxes: (N, 4), pixels.
        size: (height, width) of the image.
        xywh: the boxes are x, y, width, height instead of corners.

    Raises:
        ValueError: another shape, or a box with less than half a pixel inside the image.
    """
    corners = np.array(boxes, dtype=np.float64)
    corners = corners.reshape(0, 4) if corners.size == 0 else corners
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise ValueError(f"boxes must have the shape (N, 4), got {corners.shape}")
    if not xywh:
        corners[:, 2:] -= corners[:, :2]
    clipped = [clip_box(box.tolist(), size) for box in corners]
    outside = [number for number, box in enumerate(clipped) if box is None]
    if outside:
        raise ValueError(f"boxes {outside[:5]} have less than half a pixel inside the image of {size[1]} x {size[0]}")
    return np.array(clipped, dtype=np.float64).reshape(-1, 4)
