"""The page: a picture and boxes on the left, masks, depth and the json on the right."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from ..io.files import atomic_open
from ..io.media import MediaError, read_picture
from ..visualization.draw import Picture
from .boxes import FORM, parse_boxes
from .canvas import EMPTY, box_entries, drawn_boxes, make_canvas, sent_file, with_picture
from .network import TrialNetwork
from .result import NO_DEPTH, Result, json_name, to_coco
from .support import import_gradio
from .view import say, show_result

HEAD = """<div class="db-head"><h1>DepthBox</h1>
<p>Give the network an image. <b>Find objects</b> shows what it finds by itself;
<b>Mask my boxes</b> turns each box that you draw or paste into a mask.
The image goes to the machine that runs this page, and nowhere else.</p></div>"""
FIRST = "Masks and depth appear here."
BOXES_FIRST = "There are no boxes yet: draw them on the image, or paste them."
# On a phone the result is below what was pressed.
LOOK = "() => { if (innerWidth < 768) document.querySelector('#by').scrollIntoView({behavior: 'smooth'}); }"
PLACEHOLDER = f"A box a line: {FORM.split(',')[0]}\n12 30 100 80\n150 40 60 90 class\nor a COCO json"


class Actions:
    """What the page does when something is pressed: each takes and returns what the components hold.

    Args:
        network: that is tried.
        folder: of uploads and of the files for download.
    """

    def __init__(self, network: TrialNetwork, folder: Path) -> None:
        self.network, self.folder = network, folder
        self.names = network.classes.names
        self._read = functools.lru_cache(maxsize=2)(read_picture)

    def take(self, value: Any) -> tuple[Any, ...]:
        """A file has come: canvas, its record, result, view, download."""
        gr = import_gradio()
        try:
            path, name = sent_file(value, self.folder)
            picture = self._read(str(path))
        except (MediaError, Image.DecompressionBombError):
            kinds = "JPEG, PNG, WebP, BMP or TIFF"
            return self._refused(f"The file {name} is no image that can be read; it should be {kinds}, and whole")
        except ValueError as error:
            return self._refused(str(error))
        shown = with_picture(name, picture)
        return gr.HTML(**shown), {"path": str(path), "name": name}, None, say(FIRST), self._file(None)

    def add(self, text: str, value: Any, record: dict[str, str] | None) -> tuple[Any, str]:
        """Pasted boxes go onto the picture: canvas, and the text that remains."""
        if record is None:
            return {**value, "error": "There is no image yet, on which boxes could be."}, text
        picture = self._read(record["path"])
        size = (picture.shape[0], picture.shape[1])
        try:
            boxes = parse_boxes(text, self.names, size, picture=record["name"])
        except ValueError as error:
            return {**value, "error": _sentence(error)}, text
        return {**value, "error": "", "boxes": [*value["boxes"], *box_entries(boxes, self.names)]}, ""

    def detect(self, record: dict[str, str] | None, threshold: float, by: str) -> tuple[Any, ...]:
        """Find objects: result, view, download."""
        if record is None:
            return None, say("There is no image yet."), self._file(None)
        picture = self._read(record["path"])
        return self._done(picture, self.network.detect(picture, record["name"]), threshold, by)

    def mask(self, record: dict[str, str] | None, value: Any, threshold: float, by: str) -> tuple[Any, ...]:
        """Masks of the boxes: result, view, download."""
        if record is None:
            return None, say("There is no image yet."), self._file(None)
        picture = self._read(record["path"])
        try:
            boxes = drawn_boxes(value, self.names, (picture.shape[0], picture.shape[1]))
        except ValueError as error:
            return None, say(_sentence(error), error=True), self._file(None)
        if not boxes:
            return None, say(BOXES_FIRST), self._file(None)
        return self._done(picture, self.network.mask_boxes(picture, boxes, record["name"]), threshold, by)

    def show(self, record: dict[str, str] | None, result: Result | None, threshold: float, by: str) -> tuple[str, Any]:
        """Another threshold or another view of the same result: view, download."""
        if record is None or result is None:
            return say(FIRST), self._file(None)
        return self._done(self._read(record["path"]), result, threshold, by)[1:]

    def _done(self, picture: Picture, result: Result, threshold: float, by: str) -> tuple[Any, ...]:
        kept = result.above(threshold)
        if not kept.objects:
            text = f"No object has a score of {threshold:.2f} or more. Lower the threshold, or draw boxes."
            return result, say(text), self._file(None)
        view = say(_sentence(NO_DEPTH)) if by == "Depth" and not self.network.has_depth else ""
        view = view or show_result(picture, kept, self.names, by.lower())
        return result, view, self._file(kept)

    def _file(self, result: Result | None) -> Any:
        gr = import_gradio()
        if result is None:
            return gr.DownloadButton(value=None, interactive=False)
        path = Path(tempfile.mkdtemp(dir=self.folder)) / json_name(result)
        with atomic_open(path) as file:
            file.write(json.dumps(to_coco(result, self.network.classes)).encode())
        return gr.DownloadButton(value=str(path), interactive=True)

    def _refused(self, text: str) -> tuple[Any, ...]:
        gr = import_gradio()
        return gr.HTML(value={**EMPTY, "error": _sentence(text)}, preview=""), None, None, say(FIRST), self._file(None)


def build_page(network: TrialNetwork, folder: Path, threshold: float = 0.4) -> Any:
    """The page as Gradio's Blocks.

    Args:
        network: that is tried.
        folder: of uploads and of the files for download, see ``server.serve``.
        threshold: least score of an object, at first.
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
                least = gr.Slider(0, 1, threshold, step=0.05, label="Least score of objects", elem_id="least")
            with gr.Column(min_width=320):
                by = gr.Radio(["Masks", "Depth"], value="Masks", show_label=False, container=False, elem_id="by")
                view = gr.HTML(say(FIRST), elem_id="view", apply_default_css=False)
                file = gr.DownloadButton("Download COCO json", interactive=False, elem_id="download")
        once = {"concurrency_id": "network", "concurrency_limit": 1, "api_visibility": "private"}
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        shown = [result, view, file]
        canvas.upload(actions.take, canvas, [canvas, record, *shown], **quiet)
        add.click(actions.add, [text, canvas, record], [canvas, text], **quiet)
        found = find.click(actions.detect, [record, least, by], shown, show_progress_on=view, **once)
        masked = mask.click(actions.mask, [record, canvas, least, by], shown, show_progress_on=view, **once)
        for done in (found, masked):
            done.then(js=LOOK, **quiet)
        gr.on([least.release, by.change], actions.show, [record, result, least, by], [view, file], **quiet)
    return page


def _sentence(error: object) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
