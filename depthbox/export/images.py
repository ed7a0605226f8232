"""Inputs of an exported network, made from images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from detectron2.data import transforms as T

from ..io.images import RGBImage


@dataclass(frozen=True, eq=False)
class ExportInput:
    """Inputs of an exported network, see ``ExportGraph.forward``.

    Attributes:
        name: name of the image in messages.
        image: (H, W, 3) uint8, RGB, at the network's scale, padded with zeros at the bottom and on the right.
        valid: (height, width) of the image without padding.
        size: (height, width) of the result.
    """

    name: str
    image: RGBImage
    valid: tuple[int, int]
    size: tuple[int, int]


def fit_image(
    name: str,
    image: RGBImage,
    resize: T.Augmentation,
    divisibility: int = 32,
    fixed: tuple[int, int] | None = None,
) -> ExportInput:
    """Resize and pad an image for an exported network.

    Args:
        name: name of the image in messages.
        image: (H, W, 3) uint8, RGB.
        resize: resizing for networks that take images of any size.
        divisibility: divisor of the padded height and width.
        fixed: (height, width) of the only size that the network takes, which the resized image fills as far as its
            aspect ratio allows; None = any size.
    """
    height, width = image.shape[:2]
    if fixed is None:
        transform = resize.get_transform(image)
    else:
        scale = min(fixed[0] / height, fixed[1] / width)
        new = (max(int(n * scale + 0.5), 1) for n in (height, width))
        transform = T.ResizeTransform(height, width, *new)
    return pad_image(name, transform.apply_image(image), (height, width), divisibility, fixed)


def pad_image(
    name: str,
    resized: RGBImage,
    size: tuple[int, int],
    divisibility: int = 32,
    fixed: tuple[int, int] | None = None,
) -> ExportInput:
    """Pad an image at the network's scale with zeros at the bottom and on the right.

    Args:
        name: name of the image in messages.
        resized: (h, w, 3) uint8, RGB.
        size: (height, width) of the result.
        divisibility, fixed: see ``fit_image``.
    """
    valid = resized.shape[:2]
    height, width = fixed or (-(-n // divisibility) * divisibility for n in valid)
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[: valid[0], : valid[1]] = resized
    return ExportInput(name, image, valid, size)
