"""Files of numbers, .npy and PNG, whose header is checked before memory is allocated."""

from __future__ import annotations

import io
import math
import os
import struct
from ast import literal_eval
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Pillow refuses larger images as possible decompression bombs.
MAX_PIXELS = 178_956_970

_MAGIC = b"\x93NUMPY"
_LENGTHS = {1: "<H", 2: "<I", 3: "<I"}  # major version -> format of the length of the header
_MAX_HEADER = 10_000  # bytes; a header names a type and a shape
_ROWS = 256  # of an image, scaled at once
_KINDS = "biufc"  # bool, signed and unsigned integers, floating-point and complex numbers


class ArrayFileError(ValueError):
    """A .npy file that cannot be read. The message is the cause, without the name of the file."""


@dataclass(frozen=True)
class ArrayHeader:
    """Header of a .npy file.

    Attributes:
        shape: sides of the array.
        dtype: type of its numbers.
        fortran_order: whether the first axis varies fastest.
        offset: number of bytes before the numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    offset: int

    @property
    def size(self) -> int:
        """Number of bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_array(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an array of numbers from a .npy file of version 1, 2 or 3.

    Args:
        path: the file. Python objects (pickles), texts and structured types are refused.

    Returns:
        The array in the type and shape of the file.

    Raises:
        ArrayFileError: the file is not such a file, or its header names more numbers than it holds.
        OSError: the file cannot be opened or read.
    """
    with open(path, "rb") as file:
        header = _read_header(file)
        held = os.fstat(file.fileno()).st_size - header.offset
        if header.size != held:
            raise ArrayFileError(
                f"the header names an array of {' x '.join(map(str, header.shape))} ({header.size} bytes), but the "
                f"file holds {held}: it was truncated or damaged"
            )
        data = file.read(header.size)
    if len(data) != header.size:
        raise ArrayFileError("the file became shorter while it was read")
    values = np.frombuffer(data, dtype=header.dtype)
    return values.reshape(header.shape, order="F" if header.fortran_order else "C")


def _read_header(file: IO[bytes]) -> ArrayHeader:
    start = file.read(8)
    if start[:6] != _MAGIC:
        kind = "an .npz archive, not a .npy file" if start[:2] == b"PK" else "not a .npy file (np.save writes one)"
        raise ArrayFileError(f"this is {kind}" if start else "the file is empty")
    form = _LENGTHS.get(start[6]) if len(start) == 8 and start[7] == 0 else None
    if form is None:
        raise ArrayFileError("the .npy file has an unknown version")
    packed = file.read(struct.calcsize(form))
    length = struct.unpack(form, packed)[0] if len(packed) == struct.calcsize(form) else _MAX_HEADER + 1
    text = file.read(length) if length <= _MAX_HEADER else b""
    if len(text) != length:
        raise ArrayFileError("the header of the .npy file is truncated or damaged")
    return _parse_header(text, len(start) + len(packed) + length)


def _parse_header(text: bytes, offset: int) -> ArrayHeader:
    try:
        content = literal_eval(text.decode("utf-8").strip())
        shape, order = content["shape"], content["fortran_order"]
        description = content["descr"]
        dtype = np.dtype(description) if isinstance(description, str) else None
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise ArrayFileError("the header of the .npy file is damaged") from error
    sides = isinstance(shape, tuple) and all(type(side) is int and 0 <= side < 2**62 for side in shape)
    if not (sides and isinstance(order, bool)):
        raise ArrayFileError("the header of the .npy file is damaged")
    if dtype is None or dtype.kind not in _KINDS:
        name = "a structured type" if dtype is None else f"the type {dtype}"
        raise ArrayFileError(f"the array holds {name}, not plain numbers")
    return ArrayHeader(shape, dtype, order, offset)


class PngFileError(ValueError):
    """A PNG file that cannot be read. The message is the cause, without the name of the file."""


@dataclass(frozen=True)
class PngHeader:
    """Header of a PNG file.

    Attributes:
        size: (height, width) in pixels.
        mode: Pillow's mode, such as "L", "P", "RGB" or "I;16".
    """

    size: tuple[int, int]
    mode: str

    @property
    def is_gray_16(self) -> bool:
        """Return whether the file holds gray values of 16 bits."""
        return self.mode == "I" or self.mode.startswith("I;16")  # older versions of Pillow say "I"


@dataclass(frozen=True, eq=False)
class PngNumbers:
    """Content of a PNG file: its header, and (H, W) or (H, W, C) numbers as stored."""

    header: PngHeader
    values: NDArray[Any]


def read_png(source: str | os.PathLike[str] | bytes) -> PngNumbers:
    """Read the numbers of a PNG file: palette indices, gray values or colors.

    Args:
        source: the file, or its content.

    Raises:
        PngFileError: the file is not a PNG file, is damaged, or has more than ``MAX_PIXELS`` pixels.
        OSError: the file does not exist or may not be read.
    """
    return _read(source, decode=True)


def read_png_header(source: str | os.PathLike[str] | bytes) -> PngHeader:
    """Read the header of a PNG file.

    Raises:
        PngFileError, OSError: see ``read_png``.
    """
    return _read(source, decode=False).header


def _read(source: str | os.PathLike[str] | bytes, decode: bool) -> PngNumbers:
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        try:
            with Image.open(file, formats=("PNG",)) as image:
                if not 0 < image.width * image.height <= MAX_PIXELS:
                    raise PngFileError(f"it has {image.width} x {image.height} pixels, at most {MAX_PIXELS} are read")
                header = PngHeader((image.height, image.width), image.mode)
                return PngNumbers(header, np.asarray(image) if decode else np.zeros(0))
        except PngFileError:
            raise
        except Image.DecompressionBombError as error:
            raise PngFileError(f"it has more than the {MAX_PIXELS} pixels that are read") from error
        except Image.UnidentifiedImageError as error:
            raise PngFileError("it is not a PNG file") from error
        except Exception as error:  # decoders of damaged files raise nearly anything
            raise PngFileError(f"it is truncated or damaged ({str(error) or type(error).__name__})") from error


def scale_to_rgb(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale numbers linearly from the range of their finite values to 0 to 255.

    Args:
        values: (H, W) or (H, W, 3) integers or floating-point numbers.

    Returns:
        (H, W, 3) uint8; 0 for NaN, and everywhere if all values are equal.
    """
    low, high = np.inf, -np.inf
    for rows in _split_rows(values):
        finite = (rows if values.dtype.kind in "biu" else rows[np.isfinite(rows)]).astype(np.float64)
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    scaled = np.zeros((*values.shape[:2], 3), dtype=np.uint8)
    if high > low and values.dtype == np.uint16:
        table = _scale(np.arange(2**16), low, high).astype(np.uint8)
        scaled[...] = table[values] if values.ndim == 3 else table[values][:, :, None]
    elif high > low:
        for rows, target in zip(_split_rows(values), _split_rows(scaled), strict=True):
            pixels = _scale(rows, low, high)
            target[...] = pixels if pixels.ndim == 3 else pixels[:, :, None]
    return scaled


def _scale(values: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    shares = (values.astype(np.float64) / 2 - low / 2) / (high / 2 - low / 2)  # halves cannot overflow
    return np.rint(np.nan_to_num(np.clip(shares, 0, 1) * 255, nan=0.0))


def _split_rows(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Iterate over views of some rows each: 64-bit copies of a whole image would take several gigabytes."""
    for start in range(0, values.shape[0], _ROWS):
        yield values[start : start + _ROWS]
