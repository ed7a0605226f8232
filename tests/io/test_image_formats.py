"""Image formats that are not decoded, and large images."""

import subprocess
import threading
from pathlib import Path

import pytest
from PIL import Image

from depthbox.io import images
from depthbox.io.images import ImageError, read_image


def test_formats_that_start_other_programs_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "check_call", lambda *_, **__: pytest.fail("Ghostscript was started"))
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 64\n%%EndComments\n")
    with pytest.raises(ImageError, match=r"a\.png is not an image file of a known format"):
        read_image(path)
    Image.new("RGB", (16, 16)).save(path, format="ICO")
    with pytest.raises(ImageError, match="known format"):
        read_image(path)


def test_large_images_are_decoded_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "_LARGE", 200)
    results: list[tuple[int, ...]] = []
    with images._large_images:
        thread = threading.Thread(target=lambda: results.append(read_image(tmp_path / "a.png").shape))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive() and not results
    thread.join(10)
    assert results == [(10, 20, 3)]
