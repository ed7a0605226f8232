"""Size of an image from its header."""

from __future__ import annotations

import warnings
from pathlib import Path

_ORIENTATION, _WIDTH, _HEIGHT = 274, 256, 257
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
            if image.format == "TIFF":  # Pillow gives the upright size, but may still give the orientation
                tags = getattr(image, "tag_v2", {})
                width, height = tags.get(_WIDTH, width), tags.get(_HEIGHT, height)
            # PNG files would be decoded in search of an orientation after the pixels.
            has_header = image.format != "PNG" or "exif" in image.info
            turned = has_header and image.getexif().get(_ORIENTATION) in _QUARTER_TURNS
    return (width, height) if turned else (height, width)
