"""Depth files: one (H, W) map of inverse depth per image, in [0, 1], 1 = near."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..io.files import atomic_open
from ..io.images import MAX_PIXELS
from ..io.untrusted.arrays import read_array, read_png

DEPTH_COMMAND = "`depthbox depth`"
DEPTH_SUFFIXES = (".png", ".npy")

# float16 and interpolation leave values slightly outside of [0, 1].
_RANGE_TOLERANCE = 1e-3


class DepthFileError(ValueError):
    """A depth file is missing, unreadable, of the wrong kind or does not belong to its image."""


def read_depth(path: str | os.PathLike[str], image_size: tuple[int, int]) -> NDArray[np.float32]:
    """Read the depth map of an image.

    A 16-bit gray PNG holds depth * 65535; a float ``.npy`` holds depth.

    Args:
        path: a ``.png`` or ``.npy`` file.
        image_size: (height, width) of the image in pixels. The map may have another resolution, such as half
            the size, but its short side must fit the aspect ratio of the image within one pixel.

    Returns:
        (H', W') float32 in [0, 1], 1 = near, at the resolution of the file.

    Raises:
        DepthFileError: the file is missing, unreadable, 8-bit, in color, not finite, outside [0, 1], or of
            another aspect ratio; the message names the file and the tool that generates such files.
    """
    path = Path(path)
    if not path.is_file():
        raise _error(path, "the depth file does not exist")
    readers = {".png": _read_png, ".npy": _read_npy}
    if path.suffix.lower() not in readers:
        raise _error(path, f"a depth file is .png or .npy, not '{path.suffix}'")
    depth = readers[path.suffix.lower()](path)
    _check_aspect(path, (depth.shape[0], depth.shape[1]), image_size)
    return depth


def write_depth(path: str | os.PathLike[str], depth: NDArray[np.floating]) -> None:
    """Write a depth map as a 16-bit PNG or a float32 ``.npy``, complete or not at all.

    Args:
        path: the file; the suffix ``.png`` or ``.npy`` selects the format. Missing folders are created.
        depth: (H, W) float in [0, 1], 1 = near.

    Raises:
        ValueError: another suffix, or a map that is not (H, W), finite and in [0, 1].
    """
    path = Path(path)
    if path.suffix.lower() not in DEPTH_SUFFIXES:
        raise ValueError(f"{path}: a depth file is .png or .npy, not '{path.suffix}'")
    problem = _find_problem(depth)
    if problem:
        raise ValueError(f"{path} is not written: {problem}")
    values = np.clip(depth, 0, 1, dtype=np.float32)
    with atomic_open(path) as file:
        if path.suffix.lower() == ".npy":
            np.save(file, values)
        else:
            Image.fromarray(np.rint(values * 65535).astype(np.uint16)).save(file, format="PNG", compress_level=3)


def resize_depth(depth: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize a depth map as Detectron2 resizes images: bilinear, with averaging when it shrinks.

    Args:
        depth: (H, W) float32.
        size: (height, width) of the result in pixels.

    Returns:
        (height, width) float32, within the range of ``depth``.
    """
    if depth.shape == tuple(size):
        return depth
    image = Image.fromarray(np.ascontiguousarray(depth, dtype=np.float32))
    resized = np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return np.clip(resized, depth.min(), depth.max())


def _read_png(path: Path) -> NDArray[np.float32]:
    try:
        png = read_png(path)
    except (OSError, ValueError) as error:
        raise _error(path, f"the file cannot be read as a PNG of 16-bit gray ({error})") from error
    if not png.header.is_gray_16:
        mode = png.header.mode
        raise _error(path, f"a depth PNG is 16-bit gray, this is a PNG of mode '{mode}' (8-bit, palette or color)")
    return png.values.astype(np.float32) / np.float32(65535)


def _read_npy(path: Path) -> NDArray[np.float32]:
    try:
        depth = read_array(path)
    except (OSError, ValueError) as error:
        raise _error(path, f"the file cannot be read as a .npy array ({error})") from error
    problem = _find_problem(depth)
    if problem:
        raise _error(path, problem)
    return np.clip(depth, 0, 1, dtype=np.float32)


def _find_problem(depth: NDArray) -> str:
    """Return the fault of a map's shape, type or values; "" if it has none."""
    if depth.ndim != 2 or depth.size == 0:
        return f"a depth map has the shape (H, W), this has {depth.shape}"
    if depth.size > MAX_PIXELS:
        return f"a depth map has at most {MAX_PIXELS} pixels, this has {depth.shape}"
    if not np.issubdtype(depth.dtype, np.floating):
        return f"a depth array is float16 or float32, this is {depth.dtype}"
    low, high = float(depth.min()), float(depth.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        return "the depth map holds NaN or infinite values"
    if low < -_RANGE_TOLERANCE or high > 1 + _RANGE_TOLERANCE:
        return (
            f"depth lies in [0, 1] with 1 = near, this spans {low:g} .. {high:g}; normalize each map of "
            "inverse depth with (d - d.min()) / (d.max() - d.min())"
        )
    return ""


def _check_aspect(path: Path, size: tuple[int, int], image_size: tuple[int, int]) -> None:
    """Raise unless a map of (height, width) ``size`` may be a resized map of an image of ``image_size``."""
    (height, width), (image_height, image_width) = size, image_size
    off_height = abs(height - width * image_height / image_width)
    off_width = abs(width - height * image_width / image_height)
    if min(off_height, off_width) > 1:
        raise _error(
            path,
            f"the depth map is {height} x {width} (height x width), its image {image_height} x "
            f"{image_width}: the aspect ratios differ, so the file belongs to another image or was cropped",
        )


def _error(path: Path, problem: str) -> DepthFileError:
    return DepthFileError(f"{path}: {problem}. Generate depth files with {DEPTH_COMMAND}.")
