"""Actions of the page, called without a browser."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthbox.app.actions import Actions, check_image, show_download
from depthbox.app.canvas import EMPTY
from depthbox.app.limits import Limits
from depthbox.app.network import TrialNetwork
from depthbox.app.storage import DownloadStore, UploadStore
from depthbox.io.images import ImageError

pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")


def make(network: TrialNetwork, folder: Path, **limits: float) -> Actions:
    return Actions(network, UploadStore(folder, Limits(**limits)), DownloadStore(), Limits(**limits))


def upload(actions: Actions, content: bytes, name: str = "a.png") -> dict[str, object]:
    return {**EMPTY, "file": {"path": actions.uploads.add(io.BytesIO(content), name, "anna").reference}}


def test_a_network_without_depth_is_reported(network: TrialNetwork, photo: Path, tmp_path: Path) -> None:
    cfg = network.cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEPTH.LAYER = False
    actions = make(replace(network, cfg=cfg), tmp_path)
    canvas, reference, *_ = actions.take(upload(actions, photo.read_bytes()))
    assert canvas.value["name"] == "a.png" and canvas.value["width"] == 128
    result, view, file = actions.detect(reference, 0.0, "Depth")
    assert "This network does not predict depth" in view and len(result.objects) == 5
    token = re.search(r'href="download/([0-9a-f]{32})/a_coco\.json" download', file)
    assert token is not None
    assert actions.downloads.find(token[1], "ben") is None
    content = actions.downloads.find(token[1], "anna")
    assert content is not None and json.loads(content.content)["images"][0]["file_name"] == "a.png"
    assert "No object has a score" in actions.show(reference, result, 1.0, "Masks")[0]
    assert "tbody" in actions.show(reference, result, 0.0, "Masks")[0]


def test_no_answer_contains_a_path(network: TrialNetwork, photo: Path, tmp_path: Path) -> None:
    actions = make(network, tmp_path)
    for content in (photo.read_bytes(), photo.read_bytes()[:500], b"<svg/>", b""):
        canvas, reference, *rest = actions.take(upload(actions, content))
        said = [str(canvas.value), str(reference), *map(str, rest)]
        if reference is not None:
            said += [str(part) for part in actions.detect(reference, 0.0, "Masks")]
        assert not [text for text in said if str(tmp_path) in text]
        assert (reference is None) == ("a.png is" in canvas.value["error"])
    assert len(list(tmp_path.iterdir())) == 1  # what is not an image is removed


def test_a_removed_upload_is_said(network: TrialNetwork, photo: Path, tmp_path: Path) -> None:
    actions = make(network, tmp_path)
    _, reference, *_ = actions.take(upload(actions, photo.read_bytes()))
    result, *_ = actions.detect(reference, 0.0, "Masks")
    actions.uploads.remove(reference)
    gone = "The image is not stored any more: upload it again"
    assert (
        gone in actions.detect(reference, 0.0, "Masks")[1] and gone in actions.show(reference, result, 0.0, "Masks")[0]
    )
    assert gone in actions.mask(reference, {"boxes": [{"box": [1, 1, 9, 9]}]}, 0.0, "Masks")[1]
    assert actions.add("1 1 9 9", EMPTY, reference)[0]["error"] == gone


def test_boxes_pixels_time_and_memory_are_limited(
    network: TrialNetwork, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions = make(network, tmp_path, boxes=3, pixels=128 * 96, seconds=0)
    _, reference, *_ = actions.take(upload(actions, photo.read_bytes()))
    boxes = {**EMPTY, "boxes": [{"box": [1, 1, 9, 9]}] * 2}
    assert actions.add("1 1 9 9", boxes, reference)[0]["boxes"][2]["box"] == [1, 1, 9, 9]
    assert actions.add("1 1 9 9\n2 2 9 9", boxes, reference)[0]["error"] == "4 boxes are too many: at most 3 per image"
    assert "4 boxes are too many" in actions.mask(reference, {"boxes": boxes["boxes"] * 2}, 0.0, "Masks")[1]
    assert "take too long" in actions.mask(reference, boxes, 0.0, "Masks")[1]

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(TrialNetwork, "detect", fail)
    assert "memory of the server does not suffice" in actions.detect(reference, 0.0, "Masks")[1]
    file = io.BytesIO()
    Image.fromarray(np.zeros((97, 128, 3), np.uint8)).save(file, format="PNG")
    canvas, reference, *_ = actions.take(upload(actions, file.getvalue()))
    assert reference is None and canvas.value["error"].startswith(
        "The image a.png has 128 x 97 pixels, at most 0.012288 million"
    )


def test_only_formats_of_images_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for form in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"):
        Image.new("RGB", (8, 8)).save(path, format=form)
        check_image(path, "x", 64)
        with pytest.raises(ImageError, match="x has 8 x 8 pixels"):
            check_image(path, "x", 63)
    for form in ("EPS", "PDF", "ICO", "TGA"):  # Pillow runs Ghostscript for EPS
        Image.new("RGB", (8, 8)).save(path, format=form)
        with pytest.raises(ImageError, match=r"x is not readable: upload JPEG, .* or GIF"):
            check_image(path, "x", 64)


def test_links_are_escaped() -> None:
    assert 'href="a&quot;&gt;b"' in show_download('a">b') and "disabled" in show_download()
