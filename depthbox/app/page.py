"""Layout and actions of the page: image and boxes on the left, masks, depth and the COCO JSON file on the right."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from ..io.files import atomic_open
from ..io.images import ImageError, RGBImage, read_image
from .boxes import FORM, parse_boxes
from .canvas import EMPTY, find_upload, make_canvas, read_boxes, show_image, write_boxes
from .network import TrialNetwork
from .result import NO_DEPTH, Result, make_json_name, to_coco
from .support import import_gradio
from .view import show_message, show_result

HEAD = """<div class="db-head"><h1>DepthBox</h1>
<p>Upload an image. <b>Find objects</b> detects objects;
<b>Mask my boxes</b> computes a mask for each box that you draw or paste.
The image is sent only to the machine that runs this page.</p></div>"""
FIRST = "Masks and depth appear here."
BOXES_FIRST = "There are no boxes yet: draw them on the image, or paste them."
# On a phone, the result is below the buttons.
SCROLL = "() => { if (innerWidth < 768) document.querySelector('#by').scrollIntoView({behavior: 'smooth'}); }"
PLACEHOLDER = f"One box per line: {FORM.split(',')[0]}\n12 30 100 80\n150 40 60 90 class\nor a COCO JSON file"


class Actions:
    """Event handlers of the page. They take and return values of its components.

    Args:
        network: network of the page.
        folder: folder of uploads and downloads.
    """

    def __init__(self, network: TrialNetwork, folder: Path) -> None:
        self.network, self.folder = network, folder
        self.names = network.classes.names
        self._read = functools.lru_cache(maxsize=2)(read_image)

    def take(self, value: Any) -> tuple[Any, ...]:
        """Show an uploaded file; returns canvas, record of the image, result, view, download."""
        gr = import_gradio()
        try:
            upload = find_upload(value, self.folder)
        except ValueError as error:
            return self._refuse(str(error))
        try:
            image = self._read(str(upload.path))
        except ImageError as error:
            return self._refuse(str(error).replace(str(upload.path), upload.name))
        properties = show_image(upload.name, image)
        record = {"path": str(upload.path), "name": upload.name}
        return gr.HTML(**properties), record, None, show_message(FIRST), self._make_download(None)

    def add(self, text: str, value: Any, record: dict[str, str] | None) -> tuple[Any, str]:
        """Add pasted boxes to the image; returns canvas and the remaining text."""
        if record is None:
            return {**value, "error": "Upload an image before you add boxes."}, text
        image = self._read(record["path"])
        size = (image.shape[0], image.shape[1])
        try:
            boxes = parse_boxes(text, self.names, size, file_name=record["name"])
        except ValueError as error:
            return {**value, "error": _capitalize(error)}, text
        return {**value, "error": "", "boxes": [*value["boxes"], *write_boxes(boxes, self.names)]}, ""

    def detect(self, record: dict[str, str] | None, threshold: float, by: str) -> tuple[Any, ...]:
        """Detect objects; returns result, view, download."""
        if record is None:
            return None, show_message("Upload an image first."), self._make_download(None)
        image = self._read(record["path"])
        return self._show(image, self.network.detect(image, record["name"]), threshold, by)

    def mask(self, record: dict[str, str] | None, value: Any, threshold: float, by: str) -> tuple[Any, ...]:
        """Compute the masks of the boxes; returns result, view, download."""
        if record is None:
            return None, show_message("Upload an image first."), self._make_download(None)
        image = self._read(record["path"])
        try:
            boxes = read_boxes(value, self.names, (image.shape[0], image.shape[1]))
        except ValueError as error:
            return None, show_message(_capitalize(error), error=True), self._make_download(None)
        if not boxes:
            return None, show_message(BOXES_FIRST), self._make_download(None)
        return self._show(image, self.network.mask_boxes(image, boxes, record["name"]), threshold, by)

    def show(self, record: dict[str, str] | None, result: Result | None, threshold: float, by: str) -> tuple[str, Any]:
        """Show a result with another threshold or view; returns view, download."""
        if record is None or result is None:
            return show_message(FIRST), self._make_download(None)
        return self._show(self._read(record["path"]), result, threshold, by)[1:]

    def _show(self, image: RGBImage, result: Result, threshold: float, by: str) -> tuple[Any, ...]:
        kept = result.above(threshold)
        if not kept.objects:
            text = f"No object has a score of {threshold:.2f} or more. Lower the threshold, or draw boxes."
            return result, show_message(text), self._make_download(None)
        view = show_message(_capitalize(NO_DEPTH)) if by == "Depth" and not self.network.has_depth else ""
        view = view or show_result(image, kept, self.names, by.lower())
        return result, view, self._make_download(kept)

    def _make_download(self, result: Result | None) -> Any:
        gr = import_gradio()
        if result is None:
            return gr.DownloadButton(value=None, interactive=False)
        path = Path(tempfile.mkdtemp(dir=self.folder)) / make_json_name(result)
        with atomic_open(path) as file:
            file.write(json.dumps(to_coco(result, self.network.classes)).encode())
        return gr.DownloadButton(value=str(path), interactive=True)

    def _refuse(self, text: str) -> tuple[Any, ...]:
        gr = import_gradio()
        return (
            gr.HTML(value={**EMPTY, "error": _capitalize(text)}, preview=""),
            None,
            None,
            show_message(FIRST),
            self._make_download(None),
        )


def build_page(network: TrialNetwork, folder: Path, threshold: float = 0.4) -> Any:
    """Build the page as Gradio Blocks.

    Args:
        network: network of the page.
        folder: folder of uploads and downloads, see ``server.make_upload_folder``.
        threshold: initial value of the score threshold.
    """
    gr = import_gradio()
    actions = Actions(network, folder)
    with gr.Blocks(title="DepthBox", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.HTML(HEAD, elem_id="head", apply_default_css=False)
        record, result = gr.State(None), gr.State(None)
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                canvas = make_canvas(actions.names)
                with gr.Accordion("Paste boxes", open=False):
                    text = gr.Textbox(
                        label="Boxes", show_label=False, lines=4, max_lines=8, placeholder=PLACEHOLDER, elem_id="text"
                    )
                    add = gr.Button("Add to the image", elem_id="add")
                with gr.Row():
                    find = gr.Button("Find objects", variant="primary", min_width=130, elem_id="find")
                    mask = gr.Button("Mask my boxes", variant="primary", min_width=130, elem_id="mask")
                least = gr.Slider(0, 1, threshold, step=0.05, label="Score threshold", elem_id="least")
            with gr.Column(min_width=320):
                by = gr.Radio(["Masks", "Depth"], value="Masks", show_label=False, container=False, elem_id="by")
                view = gr.HTML(show_message(FIRST), elem_id="view", apply_default_css=False)
                file = gr.DownloadButton("Download COCO JSON", interactive=False, elem_id="download")
        once = {"concurrency_id": "network", "concurrency_limit": 1, "api_visibility": "private"}
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        outputs = [result, view, file]
        canvas.upload(actions.take, canvas, [canvas, record, *outputs], **quiet)
        add.click(actions.add, [text, canvas, record], [canvas, text], **quiet)
        found = find.click(actions.detect, [record, least, by], outputs, show_progress_on=view, **once)
        masked = mask.click(actions.mask, [record, canvas, least, by], outputs, show_progress_on=view, **once)
        for done in (found, masked):
            done.then(js=SCROLL, **quiet)
        gr.on([least.release, by.change], actions.show, [record, result, least, by], [view, file], **quiet)
    return page


def _capitalize(error: object) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
