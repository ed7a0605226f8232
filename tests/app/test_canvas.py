"""Value of the canvas: boxes, uploaded files and the preview."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthbox.app.boxes import GivenBox
from depthbox.app.canvas import (
    EMPTY,
    HTML,
    PREVIEW_SIDE,
    STYLE,
    UploadedFile,
    find_upload,
    read_boxes,
    show_image,
    write_boxes,
)
from depthbox.app.canvas_script import SCRIPT

NAMES = ("cat", "dog")


def test_boxes_go_to_the_page_and_back() -> None:
    boxes = [GivenBox((1.5, 2.0, 11.5, 22.0), 1), GivenBox((0.0, 0.0, 60.0, 40.0), 0)]
    entries = write_boxes(boxes, NAMES)
    assert entries[0] == {"box": [1.5, 2.0, 10.0, 20.0], "label": "dog"}
    assert read_boxes({**EMPTY, "boxes": entries}, NAMES, (40, 60)) == boxes


@pytest.mark.parametrize("value", [None, "", [], {}, {"boxes": None}, EMPTY])
def test_no_boxes(value: object) -> None:
    assert read_boxes(value, NAMES, (40, 60)) == []


@pytest.mark.parametrize(
    "entry", [3, {"box": 3}, {"box": [1, 2, 3]}, {"box": [1, 2, 3, "x"]}, {"box": [1, 2, 3, 4], "label": "cow"}]
)
def test_boxes_of_a_wrong_form_are_refused(entry: object) -> None:
    with pytest.raises(ValueError, match="box 1"):
        read_boxes({"boxes": [entry]}, NAMES, (40, 60))


def test_only_uploaded_files_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    inside = folder / "x" / "a.png"
    value = {"file": {"path": str(inside)}, "name": "../../my photo.png"}
    assert find_upload(value, folder) == UploadedFile(inside, "my photo.png")
    for path in (str(tmp_path / "secret.png"), str(folder / ".." / "secret.png"), str(folder)):
        with pytest.raises(ValueError, match="not uploaded by this page"):
            find_upload({"file": {"path": path}}, folder)
    for nothing in (None, EMPTY, {"file": {"path": 3}}):
        with pytest.raises(ValueError, match="upload an image first"):
            find_upload(nothing, folder)


def test_the_page_gets_a_small_image_and_the_true_size() -> None:
    shown = show_image("a.png", np.full((1000, 4000, 3), 90, dtype=np.uint8))
    assert (shown["value"]["width"], shown["value"]["height"], shown["value"]["boxes"]) == (4000, 1000, [])
    head, data = shown["preview"].split(",")
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == "data:image/jpeg;base64" and image.size == (PREVIEW_SIDE, PREVIEW_SIDE // 4)


def test_the_templates_contain_no_template_syntax_of_gradio() -> None:
    for text in (HTML, STYLE):
        assert not any(sign in text for sign in ("`", "${", "{{", "\\"))
    for name in ("drop", "stage", "image", "layer", "badges", "note", "tools", "list", "input", "class", "classes"):
        assert f"db-{name}" in HTML and f"find('{name}')" in SCRIPT, name
