"""Images with several pages or frames: their number is stated, the first one is read."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthbox.io.images import page_count, read_image
from depthbox.io.pages import describe_pages


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write an animated GIF and a TIFF of three pages of different gray, a PNG and a damaged TIFF."""
    frames = [Image.fromarray(np.full((6, 8), value, np.uint8)) for value in (10, 100, 200)]
    for name in ("moving.gif", "pages.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    frames[1].save(tmp_path / "one.png")
    (tmp_path / "damaged.tif").write_bytes(b"II*")
    return tmp_path


def test_the_first_page_is_read(folder: Path) -> None:
    for name in ("moving.gif", "pages.tif"):
        assert page_count(folder / name) == 3
        assert read_image(folder / name).max() == 10


def test_several_pages_are_described_with_their_numbers(folder: Path) -> None:
    names = ["one.png", "moving.gif", "damaged.tif", "pages.tif"]
    expected = "images with several pages, of which the first is used: 2 (moving.gif: 3, pages.tif: 3)"
    assert describe_pages(folder, names) == expected
    assert describe_pages("", [str(folder / "one.png")]) == "" == describe_pages(folder, [])
