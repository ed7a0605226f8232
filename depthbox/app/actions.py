"""Actions of the page: event handlers that take and return values of its components."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import torch
from PIL import Image

from ..io.images import ImageError, RGBImage, read_image
from .boxes import parse_boxes
from .canvas import EMPTY, find_upload, read_boxes, show_image, write_boxes
from .limits import Limits
from .network import TrialNetwork
from .result import NO_DEPTH, PageResult, make_json_name, to_coco
from .storage import DownloadStore, UploadError, UploadStore
from .support import import_gradio
from .view import show_message, show_result

FIRST = "Masks and depth appear here."
NO_IMAGE = "Upload an image first."
BOXES_FIRST = "There are no boxes yet: draw them on the image, or paste them."
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF")  # others run more code than an image needs, such as EPS
_MEMORY = "the memory of the server does not suffice: use a smaller image or fewer boxes"
T = TypeVar("T")


class Actions:
    """Event handlers of the page.

    The state of a tab is the reference of its upload, which is kept on the server.

    Args:
        network: network of the page.
        uploads: uploaded images.
        downloads: results for download.
        limits: limits of images, boxes and time.
    """

    def __init__(
        self, network: TrialNetwork, uploads: UploadStore, downloads: DownloadStore, limits: Limits | None = None
    ) -> None:
        self.network, self.uploads, self.downloads = network, uploads, downloads
        self.limits, self.names = limits or Limits(), network.classes.names
        self._read = functools.lru_cache(maxsize=2)(read_image)

    def take(self, value: Any) -> tuple[Any, ...]:
        """Show an uploaded file; returns canvas, reference of the image, result, view, download."""
        gr = import_gradio()
        try:
            upload = self.uploads.open(find_upload(value))
        except ValueError as error:
            return self._refuse(str(error))
        try:
            check_image(upload.path, upload.name, self.limits.pixels)
            image = _with_memory(lambda: self._read(str(upload.path)))
        except ValueError as error:
            self.uploads.remove(upload.reference)
            return self._refuse(str(error).replace(str(upload.path), upload.name))
        properties = show_image(upload.name, image)
        return gr.HTML(**properties), upload.reference, None, show_message(FIRST), show_download()

    def add(self, text: str, value: Any, reference: str | None) -> tuple[Any, str]:
        """Add pasted boxes to the image; returns canvas and the remaining text."""
        if reference is None:
            return {**value, "error": "Upload an image before you add boxes."}, text
        try:
            image, name = self._find(reference)
            boxes = parse_boxes(text, self.names, (image.shape[0], image.shape[1]), file_name=name)
            count = len(boxes) + len(value["boxes"])
            if count > self.limits.boxes:
                raise ValueError(f"{count} boxes are too many: at most {self.limits.boxes} per image")
        except ValueError as error:
            return {**value, "error": _capitalize(error)}, text
        return {**value, "error": "", "boxes": [*value["boxes"], *write_boxes(boxes, self.names)]}, ""

    def detect(self, reference: str | None, threshold: float, by: str) -> tuple[Any, ...]:
        """Detect objects; returns result, view, download."""
        if reference is None:
            return None, show_message(NO_IMAGE), show_download()
        try:
            image, name = self._find(reference)
            result = _with_memory(lambda: self.network.detect(image, name))
        except ValueError as error:
            return None, show_message(_capitalize(error), error=True), show_download()
        return result, *self._show(reference, image, result, threshold, by)

    def mask(self, reference: str | None, value: Any, threshold: float, by: str) -> tuple[Any, ...]:
        """Compute the masks of the boxes; returns result, view, download."""
        if reference is None:
            return None, show_message(NO_IMAGE), show_download()
        try:
            image, name = self._find(reference)
            boxes = read_boxes(value, self.names, (image.shape[0], image.shape[1]), self.limits.boxes)
            if not boxes:
                return None, show_message(BOXES_FIRST), show_download()
            result = _with_memory(lambda: self.network.mask_boxes(image, boxes, name, self.limits.seconds))
        except ValueError as error:
            return None, show_message(_capitalize(error), error=True), show_download()
        return result, *self._show(reference, image, result, threshold, by)

    def show(self, reference: str | None, result: PageResult | None, threshold: float, by: str) -> tuple[str, str]:
        """Show a result with another threshold or view; returns view, download."""
        if reference is None or result is None:
            return show_message(FIRST), show_download()
        try:
            image, _ = self._find(reference)
        except ValueError as error:
            return show_message(_capitalize(error), error=True), show_download()
        return self._show(reference, image, result, threshold, by)

    def _find(self, reference: str) -> tuple[RGBImage, str]:
        """Return the image of an upload and its name."""
        upload = self.uploads.open(reference)
        try:
            return self._read(str(upload.path)), upload.name
        except ImageError as error:
            raise UploadError(str(error).replace(str(upload.path), upload.name)) from error

    def _show(self, reference: str, image: RGBImage, result: PageResult, threshold: float, by: str) -> tuple[str, str]:
        kept = result.above(threshold)
        if not kept.objects:
            text = f"No object has a score of {threshold:.2f} or more. Lower the threshold, or draw boxes."
            return show_message(text), show_download()
        view = show_message(_capitalize(NO_DEPTH)) if by == "Depth" and not self.network.has_depth else ""
        view = view or show_result(image, kept, self.names, by.lower())
        return view, self._offer(reference, kept)

    def _offer(self, reference: str, result: PageResult) -> str:
        """Keep the COCO JSON of a result for download, and return the link."""
        try:
            owner = self.uploads.open(reference).owner
        except UploadError:  # removed during the computation
            return show_download()
        content = json.dumps(to_coco(result, self.network.classes)).encode()
        download = self.downloads.put(reference, make_json_name(result), content, owner)
        return show_download(f"download/{download.token}/{quote(download.name)}")

    def _refuse(self, text: str) -> tuple[Any, ...]:
        gr = import_gradio()
        canvas = gr.HTML(value={**EMPTY, "error": _capitalize(text)}, preview="")
        return canvas, None, None, show_message(FIRST), show_download()


def show_download(url: str = "") -> str:
    """Return the HTML of the button that downloads a result; disabled without a URL."""
    text = "Download COCO JSON"
    if not url:
        return f'<button type="button" id="download" class="db-download" disabled>{text}</button>'
    return f'<a id="download" class="db-download" href="{escape(url)}" download>{text}</a>'


def check_image(path: Path, name: str, pixels: int) -> None:
    """Check format and size of an uploaded image by its header, before it is decoded.

    Args:
        path: the file.
        name: its name in messages.
        pixels: largest number of pixels.

    Raises:
        ImageError: the file is not an image of a format in ``FORMATS``, or it has too many pixels.
    """
    try:
        with warnings.catch_warnings(), open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            count, size = image.width * image.height, f"{image.width} x {image.height}"
    except Image.DecompressionBombError:
        count, size = pixels + 1, "too many"
    except Exception as error:  # decoders of damaged files raise nearly anything
        formats = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise ImageError(f"the image {name} is not readable: upload {formats}") from error
    if count > pixels:
        most = f"{pixels / 1e6:g} million"
        raise ImageError(f"the image {name} has {size} pixels, at most {most} are accepted: make it smaller or cut it")


def _with_memory(compute: Callable[[], T]) -> T:
    """Run a computation; a lack of memory becomes a ValueError."""
    try:
        return compute()
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        raise ValueError(_MEMORY) from error


def _capitalize(error: object) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
