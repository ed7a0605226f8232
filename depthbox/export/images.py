"""Pictures at the scale of an exported network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from detectron2.data import transforms as T
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Picture:
    """Inputs of an exported network, see ``ExportGraph.forward``.

    Attributes:
        name: of the picture in messages.
        image: (H, W, 3) uint8 RGB at the network's scale, filled up with zeros.
        valid: height and width of the picture in it.
        size: height and width of the result.
    """

    name: str
    image: NDArray[np.uint8]
    valid: tuple[int, int]
    size: tuple[int, int]


def fit_picture(
    name: str,
    pixels: NDArray[np.uint8],
    resize: T.Augmentation,
    divisibility: int = 32,
    fixed: tuple[int, int] | None = None,
) -> Picture:
    """Resize a picture (H, W, 3) uint8 RGB for an exported network.

    Args:
        name: of the picture in messages.
        pixels: the picture.
        resize: of networks for images of any size.
        divisibility: of the height and width of their images.
        fixed: height and width of the only image that the network takes; the picture fills it as far as its shape
            allows.
    """
    height, width = pixels.shape[:2]
    if fixed is None:
        transform = resize.get_transform(pixels)
    else:
        scale = min(fixed[0] / height, fixed[1] / width)
        new = (max(int(n * scale + 0.5), 1) for n in (height, width))
        transform = T.ResizeTransform(height, width, *new)
    return fill_up(name, transform.apply_image(pixels), (height, width), divisibility, fixed)


def fill_up(
    name: str,
    resized: NDArray[np.uint8],
    size: tuple[int, int],
    divisibility: int = 32,
    fixed: tuple[int, int] | None = None,
) -> Picture:
    """A picture at the network's scale with zeros below and on the right; arguments as of ``fit_picture``."""
    valid = resized.shape[:2]
    height, width = fixed or (-(-n // divisibility) * divisibility for n in valid)
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[: valid[0], : valid[1]] = resized
    return Picture(name, image, valid, size)
