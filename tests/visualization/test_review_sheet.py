"""Sheets for review: enlarged objects, pages and captions."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from depthbox.visualization.review_sheet import PER_PAGE, ReviewItem, review_tile, write_review
from depthbox.visualization.sheet import Tile, _shorten, make_sheet

PINK, BACKGROUND = np.array((255, 60, 160)), (235, 235, 235)
IMAGE = np.full((100, 200, 3), 80, np.uint8)


def make_item(box: tuple[float, float, float, float], image: Any = 0, caption: str = "object") -> ReviewItem:
    """Return an object whose mask is the left half of its box."""
    x0, y0, x1, y1 = box
    mask = np.zeros(IMAGE.shape[:2], bool)
    mask[int(y0) : int(y1), int(x0) : int(x0 + x1) // 2] = True
    return ReviewItem(image, box, lambda: mask, caption)


def test_an_object_is_enlarged_with_its_surroundings() -> None:
    tile = review_tile(IMAGE, make_item((60, 30, 100, 70)))
    assert tile.image.shape == (240, 240, 3) and tile.caption == "object"
    # 14 pixels on each side and one more at the end: 69 of 69 x 69 pixels fill the tile.
    scale, blended = 240 / 69, np.round(0.7 * 80 + 0.3 * PINK)
    left, middle, right = (round((14 + x) * scale) for x in (10, 30, 50))
    center = round((14 + 20) * scale)
    assert np.abs(tile.image[center, left] - blended).max() <= 1, "the mask is blended"
    assert (tile.image[center, middle] == 80).all(), "the right half of the box is not in the mask"
    assert (tile.image[center, right] == 80).all() and (tile.image != BACKGROUND).any(-1).all()
    box_column = int(14 * scale)
    assert (tile.image[round(20 * scale) : round(50 * scale), box_column] == PINK).all(), "the edge of the box"


def test_an_object_at_the_border_is_cut_and_the_rest_of_the_tile_is_light() -> None:
    tile = review_tile(IMAGE, make_item((0, 0, 200, 40)))
    rows = (tile.image != BACKGROUND).any(-1).any(1)
    height = round(55 * 240 / 200)
    assert rows[:height].all() and not rows[height:].any()


@pytest.mark.parametrize("place", [(80.5, 50.5), (60.0, 30.0), (0.0, 0.0), (199.9, 99.9)])
def test_a_point_is_a_cross_at_its_place_of_the_tile(place: tuple[float, float]) -> None:
    x, y = place
    box = (max(x - 20, 0), max(y - 20, 0), min(x + 20, 200), min(y + 20, 100))
    plain = review_tile(IMAGE, make_item(box)).image
    drawn = review_tile(IMAGE, dataclasses.replace(make_item(box), point=place)).image
    changed = (plain != drawn).any(-1)
    left, top = max(int(box[0] - (box[2] - box[0]) * 0.3 - 2), 0), max(int(box[1] - (box[3] - box[1]) * 0.3 - 2), 0)
    right = min(int(box[2] + (box[2] - box[0]) * 0.3 + 2) + 1, 200)
    bottom = min(int(box[3] + (box[3] - box[1]) * 0.3 + 2) + 1, 100)
    scale = 240 / max(right - left, bottom - top)
    row, column = int((y - top) * scale), int((x - left) * scale)
    assert tuple(drawn[row, column]) == (255, 230, 0) and 40 < changed.sum() < 150
    rows, columns = np.nonzero(changed)
    assert np.abs(rows - row).max() <= 8 and np.abs(columns - column).max() <= 8


def test_the_mask_of_a_thin_object_is_drawn() -> None:
    tile = review_tile(IMAGE, make_item((50, 50, 51, 52)))
    assert (tile.image == PINK).all(-1).sum() > 100


def test_pages_have_the_items_in_order_and_each_image_is_read_once_per_page(tmp_path: Path) -> None:
    calls: list[int] = []

    def read(key: int) -> np.ndarray:
        calls.append(key)
        return np.full_like(IMAGE, 40 * (key + 1))

    items = [make_item((10, 10, 40, 40), image=number % 2) for number in range(PER_PAGE + 2)]
    folder = tmp_path / "review"
    pages = write_review(items, read, folder, "masks")
    assert [page.name for page in pages] == ["review_001.png", "review_002.png"] and calls == [0, 1, 0, 1]
    first, second = (np.asarray(Image.open(page)) for page in pages)
    assert first.shape[1] == 6 + 8 * 246 and second.shape[1] == 6 + 2 * 246, "two objects are side by side"
    corners = [tuple(second[30 + 18 + 2, 6 + 2 + 246 * column]) for column in (0, 1)]
    assert corners == [(40,) * 3, (80,) * 3]


def test_earlier_pages_are_removed_and_other_files_kept(tmp_path: Path) -> None:
    for name in ("review_001.png", "review_012.png", "review_old.png", "notes.txt"):
        (tmp_path / name).write_text("earlier")
    assert write_review([], lambda key: IMAGE, tmp_path, "masks") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "review_old.png"]


def test_rows_of_a_sheet_are_as_high_as_their_highest_tile() -> None:
    heights = [10, 40, 20]
    tiles = [Tile(np.full((h, 50, 3), 10 * n + 5, np.uint8), "") for n, h in enumerate(heights)]
    pixels = np.asarray(make_sheet(tiles, 2))
    assert pixels.shape == (6 + (40 + 18) + 6 + (20 + 18) + 6, 6 + 2 * 56, 3)
    assert (pixels[24:34, 6:56] == 5).all() and (pixels[34:64, 6:56] == 250).all()
    assert (pixels[24:64, 62:112] == 15).all() and (pixels[88:108, 6:56] == 25).all()


def test_the_title_takes_space_at_the_top() -> None:
    tile = Tile(np.zeros((20, 300, 3), np.uint8), "")
    plain, titled = make_sheet([tile], 1), make_sheet([tile], 1, "title")
    assert titled.height == plain.height + 24
    assert (np.asarray(titled)[:24] < 100).any() and not (np.asarray(plain)[:24] < 100).any()


@pytest.mark.parametrize("width", [60, 120, 400])
def test_captions_are_shortened_to_the_width_of_their_tile(width: int) -> None:
    pen = ImageDraw.Draw(Image.new("RGB", (8, 8)))
    text = "a long caption with the name of a file.png"
    short = _shorten(pen, text, width, 12)
    assert short == text if width == 400 else short.endswith("...") and text.startswith(short[:-3])
    assert np.asarray(make_sheet([Tile(np.zeros((5, width, 3), np.uint8), text)], 1)).shape[1] == width + 12


def test_a_caption_does_not_reach_the_next_tile() -> None:
    tiles = [Tile(np.zeros((5, 80, 3), np.uint8), "W" * 100), Tile(np.zeros((5, 80, 3), np.uint8), "")]
    pixels = np.asarray(make_sheet(tiles, 2))[6:24]
    assert (pixels[:, :86] < 100).any() and (pixels[:, 86:] == 250).all()
