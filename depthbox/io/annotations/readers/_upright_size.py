"""Size of an image from its header."""

from __future__ import annotations

import warnings
from pathlib import Path

_ORIENTATION = 274
_QUARTER_TURNS = (5, 6, 7, 8)


def image_size(path: Path) -> tuple[int, int]:
    """Return the upright (height, width) of an image in pixels, from its header and its EXIF orientation.

    Raises:
        OSError, ValueError: the header cannot be read.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            width, height = image.size
            # PNG files would be decoded in search of an orientation after the pixels.
            has_header = image.format != "PNG" or "exif" in image.info
            turned = has_header and image.getexif().get(_ORIENTATION) in _QUARTER_TURNS
    return (width, height) if turned else (height, width)
