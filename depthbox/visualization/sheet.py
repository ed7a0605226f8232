"""Contact sheets: captioned images in a grid, saved as one PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ..io.files import atomic_open
from ..io.images import RGBImage
from .draw import load_font

MAX_WIDTH = 2400
_GAP = 6
_CAPTION = 18
_PAPER = (250, 250, 250)
_INK = (20, 20, 20)


@dataclass
class Tile:
    """Image (H, W, 3) uint8 RGB and the caption above it."""

    image: RGBImage
    caption: str


def tile_width(columns: int, max_width: int = MAX_WIDTH, largest: int = 640) -> int:
    """Return the width in pixels of each of ``columns`` tiles on a sheet of at most ``max_width``.

    Raises:
        ValueError: a tile would be narrower than 32 pixels.
    """
    width = min(largest, (max_width - _GAP) // columns - _GAP) if columns > 0 else 0
    if width < 32:
        raise ValueError(f"{columns} tiles do not fit side by side into {max_width} pixels; use fewer columns")
    return width


def make_sheet(tiles: Sequence[Tile], columns: int, title: str = "") -> Image.Image:
    """Arrange tiles row by row; each row is as high as its highest tile.

    Args:
        tiles: at least one. All columns are as wide as the widest tile.
        columns: tiles per row.
        title: text across the top; "" = none.

    Returns:
        An RGB image.

    Raises:
        ValueError: no tiles, or fewer than one column.
    """
    if not tiles or columns < 1:
        raise ValueError(
            f"a sheet needs at least one tile and one column, got {len(tiles)} tiles and {columns} columns"
        )
    columns = min(columns, len(tiles))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    width = max(tile.image.shape[1] for tile in tiles)
    heights = [max(tile.image.shape[0] for tile in row) + _CAPTION for row in rows]
    top = _GAP + (24 if title else 0)
    size = (_GAP + columns * (width + _GAP), top + sum(heights) + _GAP * len(rows))
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    if title:
        pen.text((_GAP, _GAP), _shorten(pen, title, size[0] - 2 * _GAP, 15), fill=_INK, font=load_font(15))
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            x = _GAP + column * (width + _GAP)
            pen.text((x, top), _shorten(pen, tile.caption, width, 12), fill=_INK, font=load_font(12))
            sheet.paste(Image.fromarray(tile.image), (x, top + _CAPTION))
        top += height + _GAP
    return sheet


def save_sheet(sheet: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a sheet as PNG atomically; missing folders are created."""
    with atomic_open(path, tidy=True) as file:
        sheet.save(file, format="PNG")


def _shorten(pen: ImageDraw.ImageDraw, text: str, width: int, size: int) -> str:
    """Shorten text at its end to at most ``width`` pixels."""
    letters = load_font(size)
    if pen.textlength(text, font=letters) <= width:
        return text
    while text and pen.textlength(text + "...", font=letters) > width:
        text = text[:-1]
    return text + "..."
