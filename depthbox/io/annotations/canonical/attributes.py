"""Area and iscrowd of objects in canonical form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .ids import to_number
from .outlines import polygons_area

_LARGEST_AREA = 1e18


@dataclass(frozen=True)
class CrowdFlag:
    """The canonical ``iscrowd`` of an object and the rule of the note about it; "" = no note."""

    value: int
    rule: str = ""


def read_crowd(entry: dict[str, Any]) -> CrowdFlag:
    """Read ``iscrowd`` and ``ignore``; both mark regions that are neither object nor background."""
    crowd = entry.get("iscrowd", 0)
    number = int(crowd) if isinstance(crowd, bool) else to_number(crowd)
    if number == 1:
        return CrowdFlag(1, "crowd")
    ignore = entry.get("ignore", 0)
    if ignore is True or to_number(ignore) == 1:
        return CrowdFlag(1, "ignored")
    return CrowdFlag(0, "" if number == 0 or crowd is None else "crowd_invalid")


def is_sound_area(area: Any) -> bool:
    """Return whether a value is a positive, finite number."""
    return type(area) in (int, float) and 0 < area < _LARGEST_AREA


def convert_area(area: Any) -> float | None:
    """Return the number that a text writes, if it is a sound area."""
    number = to_number(area)
    return number if is_sound_area(number) else None


def compute_area(outline: Any, box: list[float]) -> float:
    """Return the area of an object in square pixels.

    Args:
        outline: polygons, RLE or None; the area of a compressed RLE is measured elsewhere, and 0 here.
        box: [x, y, width, height], whose area is returned for an object without an outline.
    """
    if isinstance(outline, dict):
        return 0 if isinstance(outline["counts"], str) else sum(outline["counts"][1::2])
    return (polygons_area(outline) if outline else 0) or box[2] * box[3]
