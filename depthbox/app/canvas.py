"""Gradio component with the image of the page, on which boxes are drawn."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from ..io.images import RGBImage
from ..visualization.draw import resize_image
from .boxes import GivenBox, make_box
from .canvas_script import SCRIPT
from .storage import REFERENCE
from .support import import_gradio

PREVIEW_SIDE = 1600  # longest side of the image that is sent to the browser, in pixels

# Value of the component: the uploaded file, the image's size, its boxes as {"box": [x, y, w, h], "label": name}.
EMPTY: dict[str, Any] = {"file": None, "name": "", "width": 0, "height": 0, "boxes": [], "error": ""}

# HTML and STYLE must not contain a backquote, ${ or {{: Gradio interprets them as templates.
HTML = """
<div class="db-drop">
  <p><b>Drop an image here</b>, paste one, or</p>
  <button type="button" class="db-choose">Choose a file</button>
</div>
<input class="db-input" type="file" accept="image/*,.tif,.tiff,.ppm,.pgm" aria-label="image" hidden>
<div class="db-stage" hidden>
  <img class="db-image" alt="the image" draggable="false">
  <svg class="db-layer" preserveAspectRatio="none" aria-label="draw boxes here"></svg>
  <div class="db-badges"></div>
</div>
<p class="db-note" role="status"></p>
<div class="db-tools" hidden>
  <label class="db-classes">Class of new boxes <select class="db-class"></select></label>
  <button type="button" class="db-undo db-needs-boxes">Undo</button>
  <button type="button" class="db-clear db-needs-boxes">Remove all</button>
  <button type="button" class="db-other">Other image</button>
</div>
<ol class="db-list" aria-label="boxes"></ol>
"""

STYLE = """
[hidden] { display: none !important; }
.db-drop { display: flex; flex-direction: column; align-items: center; justify-content: center; gap: 10px;
  min-height: 220px; padding: 16px; text-align: center; border: 2px dashed var(--border-color-primary);
  border-radius: 8px; background: var(--background-fill-secondary); }
.db-over { border-color: var(--color-accent); outline: 3px solid var(--color-accent); }
.db-stage { --ratio: 1; position: relative; width: min(100%, calc(68vh * var(--ratio))); margin: 0 auto;
  line-height: 0; }
.db-image { display: block; width: 100%; height: auto; border-radius: 4px; user-select: none; }
.db-layer { position: absolute; inset: 0; width: 100%; height: 100%; cursor: crosshair; touch-action: pinch-zoom; }
.db-layer rect { fill: rgb(255 255 255 / 8%); stroke-width: 2.5px; vector-effect: non-scaling-stroke; }
.db-badges { position: absolute; inset: 0; pointer-events: none; }
.db-badges .db-badge { position: absolute; }
.db-note { min-height: 1.5em; margin: 8px 0; font-size: 14px; color: var(--body-text-color); }
.db-note.db-error { color: var(--db-error); font-weight: 600; }
.db-note:empty { min-height: 0; margin: 0; }
.db-tools { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; font-size: 14px; }
.db-classes { flex: 1 1 100%; display: flex; align-items: center; gap: 8px; white-space: nowrap; }
.db-class { min-width: 0; flex: 1 1 auto; max-width: 320px; padding: 7px 8px; appearance: auto; border-radius: 6px;
  border: 1px solid var(--border-color-primary); background: var(--input-background-fill);
  color: var(--body-text-color); font-size: 16px; }
button { padding: 8px 12px; border: 1px solid var(--border-color-primary); border-radius: 6px; cursor: pointer;
  background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color); font-size: 14px; }
button:hover { background: var(--button-secondary-background-fill-hover); }
button:disabled { opacity: .45; cursor: default; }
.db-list { list-style: none; margin: 10px 0 0; padding: 0; max-height: 200px; overflow-y: auto; }
.db-list:empty { display: none; }
.db-list li { display: flex; align-items: center; gap: 8px; margin: 0; padding: 3px 0; font-size: 14px; }
.db-list li span + span { flex: 1; min-width: 0; overflow-wrap: anywhere; }
.db-list button { padding: 0 10px; line-height: 28px; }
"""


def make_canvas(classes: Sequence[str], largest: int) -> Any:
    """Make the component; its ``upload`` event is triggered by a new file.

    Args:
        classes: class names to choose from for a drawn box.
        largest: largest size of an uploaded file in bytes.
    """
    gr = import_gradio()
    return gr.HTML(
        EMPTY,
        html_template=HTML,
        css_template=STYLE,
        js_on_load=SCRIPT,
        apply_default_css=False,
        preview="",
        classes=list(classes),
        largest=largest,
        elem_id="canvas",
    )


def show_image(name: str, image: RGBImage) -> dict[str, Any]:
    """Return the properties of the component for an image without boxes, at most ``PREVIEW_SIDE`` pixels long."""
    height, width = image.shape[:2]
    return {
        "value": {**EMPTY, "name": name, "width": width, "height": height},
        "preview": encode_data_url(image, PREVIEW_SIDE),
    }


def encode_data_url(image: RGBImage, longest: int = 0) -> str:
    """Encode an image as a ``data:`` URL of a JPEG file.

    Args:
        image: (H, W, 3) uint8, RGB.
        longest: limit of the longer side in pixels, to which a larger image is resized; 0 = no limit.
    """
    height, width = image.shape[:2]
    if 0 < longest < max(height, width):
        scale = longest / max(height, width)
        image = resize_image(image, (max(round(height * scale), 1), max(round(width * scale), 1)))
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="JPEG", quality=92)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def read_boxes(value: Any, names: Sequence[str], size: tuple[int, int], most: int = 300) -> list[GivenBox]:
    """Read and check the boxes of the component's value, which comes from the browser.

    Args:
        value: of the component.
        names: class names of the network.
        size: (height, width) of the image.
        most: largest number of boxes.

    Raises:
        ValueError: one of the boxes is wrong, or there are too many.
    """
    entries = value.get("boxes") if isinstance(value, Mapping) else None
    entries = entries if isinstance(entries, list) else []
    if len(entries) > most:
        raise ValueError(f"{len(entries)} boxes are too many: at most {most} per image")
    boxes = []
    for number, entry in enumerate(entries, start=1):
        where = f"box {number}"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("box"), list):
            raise ValueError(f"{where} is not a box")
        boxes.append(make_box(where, entry["box"], str(entry.get("label") or ""), names, size))
    return boxes


def write_boxes(boxes: Sequence[GivenBox], names: Sequence[str]) -> list[dict[str, Any]]:
    """Convert boxes to entries of the component's value."""
    return [{"box": box.sides, "label": names[box.label]} for box in boxes]


def find_upload(value: Any) -> str:
    """Return the reference of the uploaded file in the component's value, which comes from the browser.

    Raises:
        ValueError: no file was uploaded, or it is named by something else than a reference.
    """
    file = value.get("file") if isinstance(value, Mapping) else None
    reference = file.get("path") if isinstance(file, Mapping) else None
    if not isinstance(reference, str):
        raise ValueError("upload an image first: drop or paste one, or choose a file")
    if not REFERENCE.fullmatch(reference):
        raise ValueError("the image was not uploaded by this page")
    return reference
