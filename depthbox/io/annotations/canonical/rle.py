"""Run-length encodings of COCO, measured without drawing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A number is written in groups of 5 bits as characters from "0" on; all but its last group are "P" to "o".
_CHARACTERS = bytes(range(ord("0"), ord("o") + 1))
_LAST = frozenset(range(ord("0"), ord("O") + 1))
_MAX_GROUPS = 6  # more than the pixels of any image that can be read
_TOO_LONG = -(1 << 60)  # a run below 0, which is not sound


@dataclass(frozen=True)
class RunMeasures:
    """Measures of N run-length encodings.

    Attributes:
        sound: (N,) bool, whether the runs are well-formed and fill the image, with at least one object pixel unless
            empty masks are allowed.
        areas: (N,) int64, number of object pixels; 0 if not sound.
    """

    sound: NDArray[np.bool_]
    areas: NDArray[np.int64]


def measure_runs(counts: Sequence[str], pixels: Sequence[int], *, allow_empty: bool = False) -> RunMeasures:
    """Measure compressed run-length encodings together.

    Args:
        counts: N values of ``counts``.
        pixels: N numbers of pixels that the runs have to fill, the image's height times width.
        allow_empty: whether an encoding without object pixels is sound.
    """
    sound = np.array([_is_well_formed(text) for text in counts], dtype=bool)
    areas = np.zeros(len(counts), dtype=np.int64)
    chosen = np.flatnonzero(sound).tolist()
    if chosen:
        good = _measure([counts[index] for index in chosen], np.array([pixels[index] for index in chosen]), allow_empty)
        sound[chosen], areas[chosen] = good.sound, good.areas
    return RunMeasures(sound, areas)


def _is_well_formed(text: str) -> bool:
    if not text or not text.isascii():
        return False
    codes = text.encode("ascii")
    return codes[-1] in _LAST and not codes.translate(None, _CHARACTERS)


def _measure(counts: Sequence[str], pixels: NDArray[np.int64], allow_empty: bool) -> RunMeasures:
    """Measure well-formed texts."""
    codes = np.frombuffer("".join(counts).encode("ascii"), dtype=np.uint8) - np.uint8(48)
    ends = np.flatnonzero(codes < 0x20)
    begins = np.empty_like(ends)
    begins[0], begins[1:] = 0, ends[:-1] + 1
    numbers = _decode(codes, begins, ends)
    text_begins = np.cumsum([0, *map(len, counts[:-1])])
    starts = np.searchsorted(begins, text_begins)
    runs, rows = _undo_differences(numbers, starts)
    totals = np.add.reduceat(runs, rows, axis=0)
    smallest = np.minimum.reduceat(runs, rows, axis=0).min(1)
    largest = np.maximum.reduceat(runs, rows, axis=0).max(1)
    areas = totals[:, 1]
    sound = (smallest >= 0) & (largest <= pixels) & (totals.sum(1) == pixels) & ((areas > 0) | allow_empty)
    return RunMeasures(sound, np.where(sound, areas, 0))


def _decode(codes: NDArray[np.uint8], begins: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers that groups of 5 bits write, least significant first, with the sign in the last group."""
    bits = (codes & 0x1F).astype(np.int32)
    lengths = ends - begins + 1
    numbers = bits[begins]
    for group in range(1, min(int(lengths.max()), _MAX_GROUPS)):
        longer = np.flatnonzero(lengths > group)
        numbers[longer] |= bits[begins[longer] + group] << (5 * group)
    negative = np.flatnonzero((codes[ends] & 0x10) * (lengths <= _MAX_GROUPS))
    result = numbers.astype(np.int64)
    result[negative] -= np.left_shift(np.int64(1), 5 * lengths[negative])
    result[lengths > _MAX_GROUPS] = _TOO_LONG
    return result


def _undo_differences(
    numbers: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return runs as rows (background, object), and the first row of each text.

    From the fourth number of a text on, the difference to the number before last is written. A text with an odd number
    of runs ends with an object run of 0 pixels.
    """
    sizes = np.diff(np.append(starts, len(numbers)))
    row_counts = (sizes + 1) // 2
    rows = np.cumsum(row_counts) - row_counts
    padding = 2 * rows - starts  # zeros before each text, so that every text begins with a new row
    table = np.zeros(2 * int(row_counts.sum()), dtype=np.int64)
    table[np.arange(len(numbers)) + np.repeat(padding, sizes)] = numbers
    runs = table.reshape(-1, 2)
    first = runs[rows, 0].copy()
    runs[rows, 0] = 0  # the third number is not a difference to the first
    sums = np.cumsum(runs, axis=0)
    runs = sums - np.repeat(sums[rows] - runs[rows], row_counts, axis=0)
    runs[rows, 0] = first
    odd = np.flatnonzero(sizes % 2)
    runs[rows[odd] + row_counts[odd] - 1, 1] = 0
    return runs, rows
