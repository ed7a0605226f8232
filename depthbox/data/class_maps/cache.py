"""Computed class maps as files, so that each is computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...io.files import atomic_open
from ...io.untrusted.arrays import PngFileError, read_png
from ..points import ImagePoints
from .source import ClassMap, ClassMapSource, DepthMap, RGBImage

VERSION = 1  # raised if a source computes other maps


class CachedClassMaps:
    """Class maps of a source, written as PNG files and read from them in later calls.

    The name of a file contains a hash of the image, its points, its depth and the settings, so that a file of another
    input is never used.

    Args:
        source: computes the class maps.
        folder: folder of the files; created if missing.
        settings: name and settings of the source.
    """

    def __init__(self, source: ClassMapSource, folder: Path, settings: str) -> None:
        self._source, self._folder, self._settings = source, folder, settings

    def __call__(
        self, record: Mapping[str, Any], image: RGBImage, points: ImagePoints, depth: DepthMap | None
    ) -> ClassMap:
        """Return the class map of an image.

        Raises:
            WriteError: a file cannot be written.
        """
        path = self._folder / self._name(record, image, points, depth)
        found = _read(path, image.shape[:2])
        if found is not None:
            return found
        class_map = self._source(record, image, points, depth)
        self._folder.mkdir(parents=True, exist_ok=True)
        with atomic_open(path) as file:
            Image.fromarray(class_map).save(file, format="PNG", compress_level=1)
        return class_map

    def _name(self, record: Mapping[str, Any], image: RGBImage, points: ImagePoints, depth: DepthMap | None) -> str:
        digest = hashlib.sha256(f"{VERSION} {self._settings} {image.shape}".encode())
        for array in (image, points.coords, points.classes, points.kinds, points.regions, points.background):
            digest.update(np.ascontiguousarray(array).data)
        if depth is not None:
            digest.update(np.ascontiguousarray(depth).data)
        return f"{Path(str(record.get('file_name', 'image'))).stem[:80]}-{digest.hexdigest()[:16]}.png"


def _read(path: Path, size: tuple[int, ...]) -> ClassMap | None:
    """Read a file of the cache; None if there is none or it is damaged."""
    try:
        class_map = read_png(path).values
    except (OSError, PngFileError):
        return None
    return class_map if class_map.shape == size and class_map.dtype == np.uint8 else None
