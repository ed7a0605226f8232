"""Contact sheets of single objects with their masks, for manual review."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.files import remove_stale
from ..io.images import RGBImage
from .draw import Color, DrawnObjects, draw_objects, resize_image
from .sheet import Tile, make_sheet, save_sheet

PER_PAGE, COLUMNS = 48, 8
_TILE = 240
_MASK: Color = (255, 60, 160)
_MARGIN = 0.3  # in widths and heights of the box
_BACKGROUND = 235
_POINT: Color = (255, 230, 0)
_RIM: Color = (0, 0, 0)
_CROSS = 7  # pixels of the tile, length of an arm


@dataclass(frozen=True)
class ReviewItem:
    """Object to review.

    Attributes:
        image: key of the image, passed to ``read``.
        box: (x0, y0, x1, y1) in pixels of the image.
        mask: function that returns the mask (H, W) bool at the size of the image.
        caption: one line of text.
        point: (x, y) in pixels of the image, drawn as a cross; None = none.
    """

    image: Any
    box: Sequence[float]
    mask: Callable[[], NDArray[np.bool_]]
    caption: str
    point: tuple[float, float] | None = None


def write_review(items: Sequence[ReviewItem], read: Callable[[Any], RGBImage], folder: Path, title: str) -> list[Path]:
    """Write the items in order to pages ``review_001.png``, ...; older pages are removed.

    Args:
        items: objects, worst first.
        read: returns the image (H, W, 3) uint8 RGB of a key; called once per page and image.
        folder: folder of the pages, created if missing.
        title: title of each page.

    Returns:
        The paths of the pages.
    """
    remove_stale(folder)
    pages: list[Path] = []
    for first in range(0, len(items), PER_PAGE):
        part = items[first : first + PER_PAGE]
        page_title = f"{title}, {first + 1} to {first + len(part)} of {len(items)}"
        page = make_sheet(_draw_tiles(part, read), COLUMNS, page_title)
        pages.append(folder / f"review_{first // PER_PAGE + 1:03d}.png")
        save_sheet(page, pages[-1])
    for old in set(folder.glob("review_[0-9][0-9][0-9].png")) - set(pages):
        old.unlink(missing_ok=True)
    return pages


def review_tile(image: RGBImage, item: ReviewItem) -> Tile:
    """Draw an object with its box, its mask, its point and its surroundings, enlarged to a tile."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = item.box
    margin_x, margin_y = (x1 - x0) * _MARGIN + 2, (y1 - y0) * _MARGIN + 2
    left, top = max(int(x0 - margin_x), 0), max(int(y0 - margin_y), 0)
    right, bottom = min(int(x1 + margin_x) + 1, width), min(int(y1 + margin_y) + 1, height)
    part, mask = image[top:bottom, left:right], item.mask()[top:bottom, left:right]
    scale = _TILE / max(part.shape[:2])
    size = max(1, round(part.shape[0] * scale)), max(1, round(part.shape[1] * scale))
    rows = np.minimum((np.arange(size[0]) / scale).astype(int), part.shape[0] - 1)
    columns = np.minimum((np.arange(size[1]) / scale).astype(int), part.shape[1] - 1)
    box = np.array([[x0 - left, y0 - top, x1 - left, y1 - top]]) * scale
    objects = DrawnObjects(box, [""], mask[rows][:, columns][None], [_MASK])
    tile = np.full((_TILE, _TILE, 3), _BACKGROUND, dtype=np.uint8)
    tile[: size[0], : size[1]] = draw_objects(resize_image(np.ascontiguousarray(part), size), objects, fill=0.3)
    if item.point is not None:
        _draw_cross(tile, (item.point[0] - left) * scale, (item.point[1] - top) * scale)
    return Tile(tile, item.caption)


def _draw_cross(tile: NDArray[np.uint8], x: float, y: float) -> None:
    """Draw a cross at a location of a tile, in place; the dark rim is visible on light images."""
    column, row = int(x), int(y)
    for reach, half, color in ((_CROSS + 1, 2, _RIM), (_CROSS, 1, _POINT)):
        for down, across in ((reach, half), (half, reach)):
            rows = slice(max(row - down, 0), row + down + 1)
            tile[rows, max(column - across, 0) : column + across + 1] = color


def _draw_tiles(items: Sequence[ReviewItem], read: Callable[[Any], RGBImage]) -> list[Tile]:
    """Draw items in order, with one image in memory at a time and each image read once."""
    by_image: dict[Any, list[int]] = {}
    for index, item in enumerate(items):
        by_image.setdefault(item.image, []).append(index)
    tiles: dict[int, Tile] = {}
    for key, indices in by_image.items():
        image = read(key)
        for index in indices:
            tiles[index] = review_tile(image, items[index])
    return [tiles[index] for index in range(len(items))]
