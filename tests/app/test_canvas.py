"""Value of the canvas: boxes, uploaded files and the preview."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from depthbox.app.boxes import GivenBox
from depthbox.app.canvas import (
    EMPTY,
    HTML,
    PREVIEW_SIDE,
    STYLE,
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


def test_files_are_named_by_references_only() -> None:
    reference = f"depthbox_app_{'0f' * 16}"
    assert find_upload({"file": {"path": reference}, "name": "../../my photo.png"}) == reference
    for path in ("/etc/passwd", "secret.png", f"../{reference}", f"{reference}/x", reference.upper(), f"{reference}\n"):
        with pytest.raises(ValueError, match="not uploaded by this page"):
            find_upload({"file": {"path": path}})
    for nothing in (None, EMPTY, {"file": {"path": 3}}):
        with pytest.raises(ValueError, match="upload an image first"):
            find_upload(nothing)


def test_the_number_of_boxes_is_limited() -> None:
    entries = [{"box": [1, 1, 5, 5]}] * 4
    assert len(read_boxes({"boxes": entries}, NAMES, (40, 60), 4)) == 4
    with pytest.raises(ValueError, match=r"^4 boxes are too many: at most 3 per image$"):
        read_boxes({"boxes": entries}, NAMES, (40, 60), 3)


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
