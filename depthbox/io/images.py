"""Image files as RGB arrays: the one reader of training, evaluation, labeling, prediction, depth and checks."""

from __future__ import annotations

import os
import struct
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from .folders import is_hidden, list_files
from .untrusted.arrays import MAX_PIXELS, scale_to_rgb

RGBImage = NDArray[np.uint8]  # (H, W, 3)
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif"}
)
# Pillow's names of the formats that are decoded, by the content of a file. Others, such as EPS, start other programs.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
_REMEDY = "Copy or download the file again, or remove it and its annotations"
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_LARGE, _large_images = 40_000_000, threading.Lock()  # pixels, and the lock of images with more
_LATE_PNG_CHUNKS = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")

# Pillow warns from half of MAX_PIXELS on; photographs of drones and scanners are that large.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageError(ValueError):
    """An image file that cannot be read. The message names the file, the cause and the remedy."""


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read an image file as RGB, upright by its EXIF orientation.

    Images of 8 bits per channel are converted as ``PIL.Image.convert("RGB")`` does: alpha is dropped, gray is repeated.
    The result is that of Detectron2's ``read_image``, except for TIFF files with an orientation, which Detectron2 turns
    a second time with recent versions of Pillow.
    Images of 16 bits, 32 bits or floating-point numbers are scaled linearly from the range of their finite values to 0
    to 255; a constant image becomes 0. Of several pages or frames, the first one is read.

    Args:
        path: the image file.

    Returns:
        (H, W, 3) uint8 array, contiguous and writable.

    Raises:
        ImageError: the file is missing, is not an image, is damaged or has more than ``MAX_PIXELS`` pixels.
    """
    with _open_image(path) as image, _one_large_image(image):
        _require_size(image, path)
        deep_color = _is_deep_color(image)
        image.load()  # Pillow turns TIFF images upright now and forgets their orientation
        orientation = _orientation(image)
        if deep_color:
            pixels = _read_deep_color(image, path)
            orientation = 1 if image.format == "TIFF" else orientation  # OpenCV turns TIFF images, too
        elif image.mode[0] in "IF":
            pixels = scale_to_rgb(np.asarray(image))
        else:
            pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
        return np.require(_turn_upright(pixels, orientation), requirements=["C", "W", "O"])


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return (height, width) of an image file from its header, upright by its EXIF orientation.

    Raises:
        ImageError: as ``read_image``, except for damage behind the header.
    """
    with _open_image(path) as image:
        _require_size(image, path)
        tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}  # the size is that of the upright image
        width, height = tags.get(_TIFF_WIDTH, image.width), tags.get(_TIFF_HEIGHT, image.height)
        return (width, height) if _orientation(image, path) >= 5 else (height, width)


def page_count(path: str | os.PathLike[str]) -> int:
    """Return the number of pages or frames of an image file; ``read_image`` reads the first one.

    Raises:
        ImageError: as ``image_size``.
    """
    with _open_image(path) as image:
        return int(getattr(image, "n_frames", 1))


def is_deep(path: str | os.PathLike[str]) -> bool:
    """Return whether an image file has more than 8 bits per channel, so that ``read_image`` scales its range.

    Raises:
        ImageError: as ``image_size``.
    """
    with _open_image(path) as image:
        return _is_deep_color(image) or image.mode[0] in "IF"


def list_images(folder: str | os.PathLike[str]) -> list[str]:
    """List the image files below a folder by their suffix.

    Returns:
        Names relative to the folder, with "/", sorted; hidden files and folders are left out.
    """
    names = list_files(folder)
    return [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES and not is_hidden(name)]


def open_pillow(file: IO[bytes], formats: Sequence[str] = FORMATS) -> Image.Image:
    """Open an image for Pillow, which decodes nothing yet; errors are those of Pillow.

    Args:
        file: open for reading.
        formats: Pillow's names of the formats to recognize.
    """
    return Image.open(file, formats=tuple(formats))


@contextmanager
def _open_image(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open an image file; failures in the block become an ``ImageError``."""
    try:
        # Not by its name: Pillow maps named TIFF files into memory, with exchanged sides if they are turned.
        with open(path, "rb") as file, open_pillow(file) as image:
            yield image
    except ImageError:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise ImageError(_describe_failure(path, error)) from error


@contextmanager
def _one_large_image(image: Image.Image) -> Iterator[None]:
    """Let the threads of a process decode large images one after the other: each takes up to 3 GB."""
    if image.width * image.height < _LARGE:
        yield
        return
    with _large_images:
        yield


def _describe_failure(path: str | os.PathLike[str], error: Exception) -> str:
    name = ascii(os.fspath(path))[1:-1] if "\0" in os.fspath(path) else os.fspath(path)
    if isinstance(error, Image.DecompressionBombError):
        return f"the image {name} has more than {MAX_PIXELS} pixels: make it smaller or cut it into tiles"
    if isinstance(error, FileNotFoundError):
        return f"the image {name} does not exist: correct the path or the image folder"
    if isinstance(error, IsADirectoryError):
        return f"the image {name} is a folder: name an image file"
    if isinstance(error, PermissionError):
        return f"the image {name} may not be read: change its permissions"
    cause = _cause_in_content(path)
    if cause:
        return f"the image {name} {cause}"
    if isinstance(error, UnidentifiedImageError):
        return f"the image {name} is not an image file of a known format: convert it to JPEG or PNG"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"the image {name} is truncated or damaged ({text}). {_REMEDY}"


def _cause_in_content(path: str | os.PathLike[str]) -> str:
    """Describe a file that is not an image; "" if its content is not recognized."""
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except (OSError, ValueError):
        return ""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return f"is empty (0 bytes). {_REMEDY}"
    if not head.strip(b"\0"):
        return f"holds only zero bytes. {_REMEDY}"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the image itself: run `git lfs pull`"
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return f"is an HTML page, probably of a failed download. {_REMEDY}"
    if start.startswith((b"<svg", b"<?xml")):
        return "is an XML or SVG file: convert it to JPEG or PNG"
    return ""


def _require_size(image: Image.Image, path: str | os.PathLike[str]) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"the image {os.fspath(path)} has {width} x {height} pixels, more than {MAX_PIXELS}: "
            "make it smaller or cut it into tiles"
        )
    if width < 1 or height < 1:
        raise ImageError(f"the image {os.fspath(path)} has no pixels ({width} x {height}). {_REMEDY}")


def _orientation(image: Image.Image, header_of: str | os.PathLike[str] | None = None) -> int:
    """Return the EXIF orientation, 1 to 8; with ``header_of``, the pixels of a PNG file are decoded only if needed."""
    try:
        # PngImageFile.getexif decodes the image because metadata may follow the pixels.
        skip = header_of is not None and image.format == "PNG" and not _has_late_metadata(header_of)
        exif = Image.Image.getexif(image) if skip else image.getexif()
        value = exif.get(ExifTags.Base.Orientation)
    except Exception:  # broken metadata do not spoil the pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _has_late_metadata(path: str | os.PathLike[str]) -> bool:
    """Return whether a PNG file has a chunk of metadata behind its pixels."""
    with open(path, "rb") as file:
        file.seek(8)
        pixels_begun = False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            pixels_begun |= kind == b"IDAT"
            if pixels_begun and kind in _LATE_PNG_CHUNKS:
                return True
            file.seek(length + 4, os.SEEK_CUR)
    return False


def _turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply an EXIF orientation to an (H, W, 3) array."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _is_deep_color(image: Image.Image) -> bool:
    # Pillow keeps the upper 8 bits of color images of 16 bits; their raw mode tells, such as "RGB;16B".
    return image.mode in ("RGB", "RGBA", "LA", "L") and any(
        ";16" in str(tile[3]) for tile in getattr(image, "tile", ())
    )


def _read_deep_color(image: Image.Image, path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    import cv2

    decoded = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.shape[:2] != (image.height, image.width):
        return np.asarray(image.convert("RGB"))
    return scale_to_rgb(decoded if decoded.ndim == 2 else decoded[:, :, 2::-1])
