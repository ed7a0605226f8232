"""Sheets: captioned pictures in a grid, as one PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ..io.files import atomic_open
from .draw import Picture, font

MAX_WIDTH = 2400
_GAP = 6
_CAPTION = 18
_PAPER = (250, 250, 250)
_INK = (20, 20, 20)


@dataclass
class Tile:
    """A picture (H, W, 3) uint8 RGB and what is written above it."""

    picture: Picture
    caption: str


def tile_width(columns: int, max_width: int = MAX_WIDTH, largest: int = 640) -> int:
    """Width in pixels of each of ``columns`` tiles, so that a sheet is at most ``max_width`` wide.

    Raises:
        ValueError: so many columns leave a tile less than 32 pixels.
    """
    width = min(largest, (max_width - _GAP) // columns - _GAP) if columns > 0 else 0
    if width < 32:
        raise ValueError(f"{columns} tiles do not fit side by side into {max_width} pixels: ask for fewer")
    return width


def make_sheet(tiles: Sequence[Tile], columns: int, title: str = "") -> Image.Image:
    """Lay tiles out row by row, each row as high as its highest tile.

    Args:
        tiles: at least one; all columns are as wide as the widest.
        columns: tiles per row.
        title: written across the top; "" = none.

    Returns:
        An RGB image.

    Raises:
        ValueError: no tile, or no column.
    """
    if not tiles or columns < 1:
        raise ValueError(f"a sheet needs a tile and a column, got {len(tiles)} tiles, {columns} columns")
    columns = min(columns, len(tiles))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    width = max(tile.picture.shape[1] for tile in tiles)
    heights = [max(tile.picture.shape[0] for tile in row) + _CAPTION for row in rows]
    top = _GAP + (24 if title else 0)
    size = (_GAP + columns * (width + _GAP), top + sum(heights) + _GAP * len(rows))
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    if title:
        pen.text((_GAP, _GAP), _fit(pen, title, size[0] - 2 * _GAP, 15), fill=_INK, font=font(15))
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            x = _GAP + column * (width + _GAP)
            pen.text((x, top), _fit(pen, tile.caption, width, 12), fill=_INK, font=font(12))
            sheet.paste(Image.fromarray(tile.picture), (x, top + _CAPTION))
        top += height + _GAP
    return sheet


def save_sheet(sheet: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a sheet as PNG, whole or not at all; missing folders are made."""
    with atomic_open(path) as file:
        sheet.save(file, format="PNG")


def _fit(pen: ImageDraw.ImageDraw, text: str, width: int, size: int) -> str:
    """The text, cut at its end so that it is at most ``width`` pixels wide."""
    letters = font(size)
    if pen.textlength(text, font=letters) <= width:
        return text
    while text and pen.textlength(text + "...", font=letters) > width:
        text = text[:-1]
    return text + "..."
