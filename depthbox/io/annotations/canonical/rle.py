"""Run-length encodings of COCO, measured without drawing them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A number is written in groups of 5 bits as characters from "0" on; all but its last group are "P" to "o".
# Seven groups hold more than the pixels of any image.
_NUMBERS = re.compile(r"(?:[P-o]{0,6}[0-O])+")


@dataclass(frozen=True)
class RunMeasures:
    """Measures of N run-length encodings.

    Attributes:
        sound: (N,) bool, whether the runs are well-formed and fill the image, with at least one object pixel.
        areas: (N,) int64, number of object pixels; 0 if not sound.
    """

    sound: NDArray[np.bool_]
    areas: NDArray[np.int64]


def measure_runs(counts: Sequence[str], pixels: Sequence[int]) -> RunMeasures:
    """Measure compressed run-length encodings together.

    Args:
        counts: N values of ``counts``.
        pixels: N numbers of pixels that the runs have to fill, the image's height times width.
    """
    sound = np.array([bool(_NUMBERS.fullmatch(text)) for text in counts], dtype=bool)
    areas = np.zeros(len(counts), dtype=np.int64)
    chosen = np.flatnonzero(sound).tolist()
    if not chosen:
        return RunMeasures(sound, areas)
    runs, starts = _decode([counts[index] for index in chosen])
    limits = np.array([pixels[index] for index in chosen], dtype=np.int64)
    within = (np.minimum.reduceat(runs, starts) >= 0) & (np.maximum.reduceat(runs, starts) <= limits)
    fills = np.add.reduceat(runs, starts) == limits
    own = np.add.reduceat(np.where(_places(starts, len(runs)) % 2 == 1, runs, 0), starts)
    good = within & fills & (own > 0)
    sound[chosen] = good
    areas[chosen] = np.where(good, own, 0)
    return RunMeasures(sound, areas)


def _decode(counts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the runs of all texts, one after the other, and the index of the first run of each text."""
    codes = np.frombuffer("".join(counts).encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    last = codes & 0x20 == 0
    ends = np.flatnonzero(last)
    begins = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - begins + 1
    shifts = 5 * (np.arange(len(codes)) - np.repeat(begins, lengths))
    numbers = np.add.reduceat((codes & 0x1F) << shifts, begins)
    numbers -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * lengths), 0)  # the sign
    first_codes = np.concatenate([[0], np.cumsum([len(text) for text in counts])[:-1]])
    starts = np.searchsorted(begins, first_codes).astype(np.int64)
    return _undo_differences(numbers, starts), starts


def _undo_differences(numbers: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """From the fourth number of a text on, the difference to the number before last is written."""
    places = _places(starts, len(numbers))
    text = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(numbers))))
    runs = numbers.copy()
    for chosen in (places % 2 == 1, (places % 2 == 0) & (places > 0)):
        values = np.where(chosen, numbers, 0)
        sums = np.cumsum(values)
        before = sums[starts] - values[starts]
        runs[chosen] = (sums - before[text])[chosen]
    return runs


def _places(starts: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the index of each run within its text."""
    return np.arange(count) - np.repeat(starts, np.diff(np.append(starts, count)))
