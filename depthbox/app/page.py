"""Layout of the page: image and boxes on the left, masks, depth and the COCO JSON file on the right."""

from __future__ import annotations

from typing import Any

from .actions import FIRST, Actions, show_download
from .boxes import FORM
from .canvas import make_canvas
from .support import import_gradio
from .view import show_message

HEAD = """<div class="db-head"><h1>DepthBox</h1>
<p>Upload an image. <b>Find objects</b> detects objects;
<b>Mask my boxes</b> computes a mask for each box that you draw or paste.
The image is sent only to the machine that runs this page.</p></div>"""
# On a phone, the result is below the buttons.
SCROLL = "() => { if (innerWidth < 768) document.querySelector('#by').scrollIntoView({behavior: 'smooth'}); }"
PLACEHOLDER = f"One box per line: {FORM.split(',')[0]}\n12 30 100 80\n150 40 60 90 class\nor a COCO JSON file"


def build_page(actions: Actions, threshold: float = 0.4) -> Any:
    """Build the page as Gradio Blocks.

    Args:
        actions: event handlers of the page.
        threshold: initial value of the score threshold.
    """
    gr = import_gradio()
    with gr.Blocks(title="DepthBox", analytics_enabled=False) as page:
        gr.HTML(HEAD, elem_id="head", apply_default_css=False)
        reference, result = gr.State(None), gr.State(None)
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                canvas = make_canvas(actions.names, actions.limits.upload_bytes)
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
                file = gr.HTML(show_download(), elem_id="file", apply_default_css=False)
        once = {"concurrency_id": "network", "concurrency_limit": 1, "api_visibility": "private"}
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        outputs = [result, view, file]
        canvas.upload(actions.take, canvas, [canvas, reference, *outputs], **quiet)
        add.click(actions.add, [text, canvas, reference], [canvas, text], **quiet)
        found = find.click(actions.detect, [reference, least, by], outputs, show_progress_on=view, **once)
        masked = mask.click(actions.mask, [reference, canvas, least, by], outputs, show_progress_on=view, **once)
        for done in (found, masked):
            done.then(js=SCROLL, **quiet)
        gr.on([least.release, by.change], actions.show, [reference, result, least, by], [view, file], **quiet)
    return page
