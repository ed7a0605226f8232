"""Is a COCO segmentation well-formed? Answered without drawing it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .findings import shown


class Segmentation(NamedTuple):
    """What is left of a segmentation after looking at it.

    Attributes:
        kind: "" = well-formed, else the kind of the finding.
        detail: what is wrong.
        size: (height, width) of a mask, None for polygons.
    """

    kind: str = ""
    detail: str = ""
    size: tuple[int, int] | None = None


POLYGONS = Segmentation()


def inspect_segmentation(value: Any) -> Segmentation | None:
    """Look at an annotation's ``segmentation``; None where it is missing or empty."""
    if value is None or (isinstance(value, list | dict | str) and not value):
        return None
    if isinstance(value, list):
        return _inspect_polygons(value)
    if isinstance(value, dict):
        return _inspect_rle(value)
    return _malformed(f"the segmentation is {shown(value)}")


def rle_counts(text: str) -> NDArray[np.int64]:
    """The run lengths of a compressed COCO RLE.

    Each number is written in groups of 5 bits, least significant first, as characters from '0' on; bit 5 says that
    another group follows, and bit 4 of the last group is the sign. From the fourth number on, the difference to
    the number before last is written.

    Args:
        text: the ``counts`` of the RLE.

    Returns:
        (N,) int64, of alternating background and object.

    Raises:
        ValueError: a character that does not occur in an RLE, or a text that ends within a number.
    """
    codes = np.frombuffer(text.encode("latin-1", "replace"), np.uint8).astype(np.int64) - 48
    if not len(codes):
        return codes
    if codes.min() < 0 or codes.max() > 63:
        raise ValueError("holds characters that do not occur in an RLE")
    last = codes & 0x20 == 0
    if not last[-1]:
        raise ValueError("ends within a number")
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    lengths = np.diff(np.concatenate([starts, [len(codes)]]))
    if lengths.max() > 10:
        raise ValueError("holds a number of more than 50 bits")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((codes & 0x1F) << shifts, starts)
    numbers -= np.where(codes[last] & 0x10, np.int64(1) << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def _inspect_polygons(polygons: list[Any]) -> Segmentation:
    if not isinstance(polygons[0], list):
        hint = " (put it into a list)" if isinstance(polygons[0], int | float) else ""
        return _malformed(f"it is a list of {type(polygons[0]).__name__}, not of polygons{hint}")
    usable = 0
    for polygon in polygons:
        try:
            finite = math.isfinite(sum(polygon))
        except (TypeError, OverflowError):
            return _malformed(f"the polygon {shown(polygon)} does not hold numbers only")
        if not finite:
            return _malformed("a polygon holds NaN or infinity")
        usable += len(polygon) >= 6 and len(polygon) % 2 == 0
    if not usable:
        return Segmentation("segmentation_short", f"polygons of {', '.join(str(len(p)) for p in polygons[:5])} numbers")
    return POLYGONS


def _inspect_rle(rle: dict[str, Any]) -> Segmentation:
    missing = [key for key in ("size", "counts") if key not in rle]
    if missing:
        return _malformed(f"an RLE without {' and '.join(missing)}")
    size, counts = rle["size"], rle["counts"]
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
        return _malformed(f"an RLE of the size {shown(size)}, not [height, width]")
    try:
        runs = _runs(counts)
    except ValueError as error:
        return _malformed(f"the counts of an RLE {error}")
    if min(runs, default=0) < 0:
        return _malformed("an RLE with a negative run")
    total = sum(runs)
    if total != size[0] * size[1]:
        return _malformed(f"an RLE of {total} pixels for a mask of {size[0]} x {size[1]} (height x width)")
    return Segmentation(size=(size[0], size[1]))


def _runs(counts: Any) -> list[int]:
    if isinstance(counts, str):
        return rle_counts(counts).tolist()
    if isinstance(counts, list) and all(type(run) is int for run in counts):
        return counts
    raise ValueError(f"are {shown(counts)}, not a text or a list of whole numbers")


def _malformed(detail: str) -> Segmentation:
    return Segmentation("segmentation_malformed", detail)
