"""Contact sheet of pseudo depth: each image beside its map, to check that near is bright and edges are aligned."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

from PIL import Image

from ..data.depth_io import read_depth, resize_depth
from ..io.images import read_image
from .draw import colorize, resize_image
from .sheet import Tile, make_sheet, tile_width

FilePair = tuple[str | os.PathLike[str], str | os.PathLike[str]]


def make_depth_sheet(
    pairs: Sequence[FilePair], count: int = 16, columns: int = 3, seed: int = 0, title: str = ""
) -> Image.Image:
    """Draw images and their depth maps side by side.

    Args:
        pairs: (image file, depth file); at least one pair.
        count: maximum number of pairs, chosen at random and kept in order.
        columns: pairs per row.
        seed: seed of the choice.
        title: text across the top; "" = none.

    Returns:
        An RGB image. Near pixels of the maps are bright.

    Raises:
        ValueError: no pair, or ``count`` or ``columns`` below 1.
        OSError: an image is missing or broken.
        DepthFileError: a depth map is missing or broken, or does not have the size of its image.
    """
    if not pairs or count < 1 or columns < 1:
        raise ValueError(
            f"a sheet needs at least one pair, image and column: got {len(pairs)} pairs, count {count}, "
            f"{columns} columns"
        )
    chosen = sorted(random.Random(seed).sample(range(len(pairs)), min(count, len(pairs))))
    columns = min(columns, len(chosen))
    width = tile_width(2 * columns)
    tiles = [tile for i in chosen for tile in _make_tiles(pairs[i], width)]
    return make_sheet(tiles, 2 * columns, title)


def _make_tiles(pair: FilePair, width: int) -> list[Tile]:
    image_file, depth_file = pair
    image = read_image(image_file)
    size = (image.shape[0], image.shape[1])
    depth = read_depth(depth_file, size)
    scale = width / max(size)
    shown = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    caption = f"depth {depth.shape[1]} x {depth.shape[0]}, bright = near"
    return [
        Tile(resize_image(image, shown), os.path.basename(image_file)),
        Tile(colorize(resize_depth(depth, shown)), caption),
    ]
