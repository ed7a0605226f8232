"""Image files with several pages or frames, of which only the first is used."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from .images import ImageError, page_count

# Formats of images with several pages or frames.
PAGED_SUFFIXES = frozenset({".tif", ".tiff", ".gif", ".webp", ".png"})
_SHOWN = 3


def count_pages(path: str | os.PathLike[str]) -> int:
    """Return the number of pages or frames of an image file; files of formats without pages are not opened.

    Raises:
        ImageError: the image file cannot be read.
    """
    return page_count(path) if os.path.splitext(path)[1].lower() in PAGED_SUFFIXES else 1


def describe_pages(folder: str | os.PathLike[str], names: Iterable[str]) -> str:
    """Describe image files with several pages or frames, of which ``read_image`` reads the first, as one line.

    Args:
        folder: folder of the files.
        names: their names; files that cannot be read are passed over.

    Returns:
        Their number with up to three examples; "" if there are none.
    """
    found = []
    for name in names:
        with contextlib.suppress(ImageError):
            if (count := count_pages(os.path.join(folder, name))) > 1:
                found.append(f"{name}: {count}")
    if not found:
        return ""
    return f"images with several pages, of which the first is used: {len(found)} ({', '.join(found[:_SHOWN])})"
