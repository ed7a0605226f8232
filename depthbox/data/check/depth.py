"""Depth maps of a dataset: readable, of their image's shape, and inverse depth with 1 = near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..depth_io import DepthFileError, read_depth
from .findings import Example, Findings, to_line
from .records import ImageRecord

_FLAT = 1e-3  # range of a constant depth map
# Parts of the messages of ``read_depth``; any other message is "depth_unreadable".
_PROBLEMS = (
    ("aspect ratios differ", "depth_size_differs"),
    ("(8-bit, palette or color)", "depth_8bit"),  # not "8-bit" alone, which may be in the path
    ("NaN or infinite", "depth_not_finite"),
    ("depth lies in [0, 1]", "depth_range"),
)
# A sensor writes millimeters into 16 bits: 20 meters are less than a third of the range of a PNG file.
_SENSOR_MAX = 0.33
_SENSOR_MIN = 50 / 65535  # no sensor measures closer; smaller values next to 0 are estimated depth
_MOST = 0.5
_REVERSED_SHARE = 0.8
_REVERSED_DIFFERENCE = 0.1  # of the range of a map
_FEWEST = 5


@dataclass(frozen=True)
class DepthFacts:
    """Statistics of one depth map.

    Attributes:
        example: of the map, for findings about all maps.
        sensor: whether the values may be distances in millimeters.
        reversed: whether the upper part is clearly nearer than the lower part.
    """

    example: Example
    sensor: bool
    reversed: bool


def inspect_depth(
    image: ImageRecord, path: Path, size: tuple[int, int]
) -> tuple[list[tuple[str, Example]], DepthFacts | None]:
    """Return the problems of the depth map of an image of (height, width) ``size``, and its statistics."""
    try:
        depth = read_depth(path, size)
    except DepthFileError as error:
        problem = str(error).removeprefix(f"{path}: ")
        kind = next((kind for phrase, kind in _PROBLEMS if phrase in problem), "depth_unreadable")
        return [(kind, _example(image, path, to_line(problem.split(". Generate depth files")[0])))], None
    except Exception as error:  # decoders of broken files raise nearly anything
        return [("depth_unreadable", _example(image, path, to_line(error)))], None
    if depth.max() - depth.min() < _FLAT:
        return [("depth_constant", _example(image, path, f"the depth is {depth.flat[0]:.3f} everywhere"))], None
    low, high = depth.min(), depth.max()
    detail = f"values {low * 65535:.0f} to {high * 65535:.0f} of 65535"
    sensor = path.suffix.lower() == ".png" and _may_be_sensor(depth)
    return [], DepthFacts(_example(image, path, detail), sensor, _compare_thirds(depth) > 0)


def judge_depth(facts: Sequence[DepthFacts], findings: Findings) -> None:
    """Find the wrong unit or direction in the statistics of all maps."""
    sensor = [fact for fact in facts if fact.sensor]
    if len(sensor) > _MOST * len(facts):
        for fact in sensor:
            findings.add("depth_sensor", fact.example)
        return
    reverse = [fact for fact in facts if fact.reversed]
    if len(facts) >= _FEWEST and len(reverse) >= _REVERSED_SHARE * len(facts):
        for fact in reverse:
            findings.add("depth_reversed", fact.example)


def _may_be_sensor(depth: NDArray[np.float32]) -> bool:
    """Return whether a map of small numbers looks like distances.

    Estimated depth is stretched over the whole range. A sensor leaves holes, which are a step from 0 to its closest
    distance; a map without holes is suspicious if its upper part has larger values.
    """
    if depth.max() > _SENSOR_MAX:
        return False
    known = depth[depth > 0]
    if known.size == depth.size:
        return _compare_thirds(depth) > 0
    return bool(known.min() > _SENSOR_MIN) and _compare_thirds(depth) >= 0


def _compare_thirds(depth: NDArray[np.float32]) -> int:
    """Return 1 if the upper third has clearly larger values than the lower third, -1 if smaller, else 0.

    Unknown values, which are 0, are left out.
    """
    third = max(1, depth.shape[0] // 3)
    upper, lower = (part[part > 0] for part in (depth[:third], depth[-third:]))
    if not (upper.size and lower.size):
        return 0
    difference = float(np.median(upper) - np.median(lower))
    clear = abs(difference) > _REVERSED_DIFFERENCE * float(depth.max() - depth.min())
    return int(np.sign(difference)) if clear else 0


def _example(image: ImageRecord, path: Path, detail: str) -> Example:
    same = path.name == Path(image.file_name).name
    return Example(detail if same else f"{path.name}: {detail}", image.file_name, depth=True)
