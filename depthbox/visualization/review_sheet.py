"""Sheets of single objects with their masks, to be gone through by a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .draw import Color, Objects, Picture, draw_objects, resize_image
from .sheet import Tile, make_sheet, save_sheet

PER_PAGE, COLUMNS = 48, 8
_TILE = 240
_MASK: Color = (255, 60, 160)
_SURROUNDINGS = 0.3  # of the box's sides


@dataclass(frozen=True)
class ReviewItem:
    """An object to be looked at.

    Attributes:
        picture: what ``read`` is asked for.
        box: (x0, y0, x1, y1) in its pixels.
        mask: from the picture's size to (H, W) bool.
        caption: one line.
    """

    picture: Any
    box: Sequence[float]
    mask: Callable[[], NDArray[np.bool_]]
    caption: str


def write_review(items: Sequence[ReviewItem], read: Callable[[Any], Picture], folder: Path, title: str) -> list[Path]:
    """Write pages ``review_001.png``, ... with the items in their order; older pages are removed.

    Args:
        items: worst first.
        read: gives a picture (H, W, 3) uint8 RGB; called once for each run of items of one picture.
        folder: of the pages, made if missing.
        title: of each page.

    Returns:
        The pages.
    """
    for old in folder.glob("review_[0-9][0-9][0-9].png"):
        old.unlink()
    pages = []
    for first in range(0, len(items), PER_PAGE):
        part = items[first : first + PER_PAGE]
        tiles: list[Tile | None] = [None] * len(part)
        # One picture in memory at a time, and each read once a page.
        by_picture: dict[Any, list[int]] = {}
        for place, item in enumerate(part):
            by_picture.setdefault(item.picture, []).append(place)
        for key, places in by_picture.items():
            picture = read(key)
            for place in places:
                tiles[place] = review_tile(picture, part[place])
        number = first // PER_PAGE + 1
        last = first + len(part)
        page = make_sheet(
            [t for t in tiles if t is not None], COLUMNS, f"{title}, {first + 1} to {last} of {len(items)}"
        )
        pages.append(folder / f"review_{number:03d}.png")
        save_sheet(page, pages[-1])
    return pages


def review_tile(picture: Picture, item: ReviewItem) -> Tile:
    """An object with its box, its mask and what is around it, enlarged to a tile."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = item.box
    wide = (x1 - x0) * _SURROUNDINGS + 2, (y1 - y0) * _SURROUNDINGS + 2
    left, top = max(int(x0 - wide[0]), 0), max(int(y0 - wide[1]), 0)
    right, bottom = min(int(x1 + wide[0]) + 1, width), min(int(y1 + wide[1]) + 1, height)
    part, mask = picture[top:bottom, left:right], item.mask()[top:bottom, left:right]
    scale = _TILE / max(part.shape[:2])
    shown = max(1, round(part.shape[0] * scale)), max(1, round(part.shape[1] * scale))
    rows = np.minimum((np.arange(shown[0]) / scale).astype(int), part.shape[0] - 1)
    columns = np.minimum((np.arange(shown[1]) / scale).astype(int), part.shape[1] - 1)
    box = np.array([[x0 - left, y0 - top, x1 - left, y1 - top]]) * scale
    objects = Objects(box, [""], mask[rows][:, columns][None], [_MASK])
    tile = np.full((_TILE, _TILE, 3), 235, dtype=np.uint8)
    tile[: shown[0], : shown[1]] = draw_objects(resize_image(np.ascontiguousarray(part), shown), objects, fill=0.3)
    return Tile(tile, item.caption)
