"""Fixtures of the tests of the page: a small network, an image, servers, and a tab of a browser."""

import contextlib
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import needs_browser
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from PIL import Image
from pycocotools.coco import COCO

from depthbox import add_depthbox_config
from depthbox.app.folder import make_upload_folder
from depthbox.app.limits import Limits
from depthbox.app.network import TrialNetwork, load_trial_network
from depthbox.app.server import Address, find_url, make_server, open_port
from depthbox.app.storage import DownloadStore, UploadStore
from depthbox.config import load_config

SIZE = (96, 128)
DESKTOP, PHONE = (1280, 900), (390, 844)
MASK_BIAS = 232  # index of the bias of the masks' last layer, which the filters of the depth layer follow


def load(*words: str) -> CfgNode:
    options = [
        *("MODEL.FPN.OUT_CHANNELS", "32", "INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "128"),
        *("INPUT.DEPTH.ENABLED", "True", "MODEL.DEPTH.LAYER", "True", "MODEL.FCOS.INFERENCE_TH", "0.0"),
        *("TEST.DETECTIONS_PER_IMAGE", "5", *words),
    ]
    return load_config(add_depthbox_config, "tests/tiny.yaml", options)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder: a random network that predicts a constant depth, and its config."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    state = build_model(load()).state_dict()
    state["proposal_generator.fcos_head.bbox_pred.bias"][:] = 1.5
    state["controller.bias"][MASK_BIAS] = 2.0
    state["controller.weight"][MASK_BIAS + 1 :] = 0
    state["controller.bias"][MASK_BIAS + 1 :] = 0
    state["controller.bias"][-1] = 1.0  # depth is sigmoid(1) everywhere
    torch.save({"model": state, "optimizer": {}, "trainer": {"iteration": 0}}, folder / "model_final.pth")
    (folder / "config.yaml").write_text(load().dump())
    return folder


@pytest.fixture(scope="session")
def network(run: Path) -> TrialNetwork:
    return load_trial_network(load(), str(run / "model_final.pth"), classes="cat,dog,cup,car,hat,pen,key,egg")


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 96 x 128 pixels: a bright disk on a dark gradient."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    pixels = np.stack([rows, columns, rows + columns], axis=2).astype(np.uint8)
    pixels[(rows - 50) ** 2 + (columns - 60) ** 2 < 30**2] = (250, 200, 40)
    path = tmp_path_factory.mktemp("photos") / "my photo.png"
    Image.fromarray(pixels).save(path)
    return path


@contextlib.contextmanager
def serving(network: TrialNetwork, limits: Limits | None = None, **address: object) -> Iterator[str]:
    """Serve the page in a thread; gives its URL."""
    from depthbox.app.actions import Actions
    from depthbox.app.page import build_page

    limits = limits or Limits()
    with make_upload_folder() as folder, open_port("127.0.0.1", 0) as listener:
        actions = Actions(network, UploadStore(folder, limits), DownloadStore(limits.download_bytes), limits)
        server = make_server(build_page(actions, threshold=0.0), actions, listener, Address(**address))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield find_url(listener)
        server.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def serve() -> object:
    """The function ``serving``, for tests that need a server of their own."""
    return serving


@dataclass
class Tab:
    """A page in the browser, and its faults.

    Attributes:
        page: of Playwright.
        url: address of the server.
        faults: error messages of the console and requests to other hosts.
    """

    page: Any
    url: str
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self._check(request.url))

    def _check(self, url: str) -> None:
        if not url.startswith((f"{self.url}/", "data:", "blob:")):
            self.faults.append(url)

    def open(self) -> None:
        self.page.goto(self.url)
        self.page.wait_for_selector(".db-choose")

    def give(self, path: Path) -> None:
        self.page.set_input_files(".db-input", str(path))
        self.page.wait_for_selector(".db-layer")
        self.page.wait_for_selector(".db-drop", state="hidden")

    def drag(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> None:
        """Draw a box x, y, width, height in pixels of an image of (height, width)."""
        self.page.locator(".db-layer").scroll_into_view_if_needed()
        area = self.page.locator(".db-layer").bounding_box()
        corners = [(box[0], box[1]), (box[0] + box[2], box[1] + box[3])]
        (x0, y0), (x1, y1) = (
            (area["x"] + x * area["width"] / size[1], area["y"] + y * area["height"] / size[0]) for x, y in corners
        )
        self.page.mouse.move(x0, y0)
        self.page.mouse.down()
        self.page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2)
        self.page.mouse.move(x1, y1)
        self.page.mouse.up()

    def download(self, folder: Path) -> COCO:
        with self.page.expect_download() as waited:
            self.page.click("#download")
        path = folder / waited.value.suggested_filename
        waited.value.save_as(path)
        with contextlib.redirect_stdout(io.StringIO()):
            return COCO(str(path))

    def fits(self) -> bool:
        """Return whether no part of the page is wider than the window or overlaps another one."""
        return self.page.evaluate(
            """() => {
                const parts = ['#head', '#canvas', '#text', '#find', '#mask', '#least', '#by', '#view', '#download'];
                const areas = parts.map((name) => document.querySelector(name)).filter(Boolean)
                    .map((part) => part.getBoundingClientRect()).filter((area) => area.width && area.height);
                const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1
                    || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
                const inside = areas.every((area) => area.left >= 0 && area.right <= innerWidth);
                return inside && document.documentElement.scrollWidth <= innerWidth
                    && areas.every((a, n) => areas.slice(n + 1).every((b) => apart(a, b)));
            }"""
        )


@pytest.fixture(scope="module")
def url(network: TrialNetwork, serve: Any) -> Iterator[str]:
    """URL of the server, which runs in a thread."""
    with serve(network) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = needs_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def tab(browser: Any, url: str, request: pytest.FixtureRequest) -> Iterator[Tab]:
    width, height = getattr(request, "param", DESKTOP)
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=width < height)
    context.set_default_timeout(20_000)
    tab = Tab(context.new_page(), url)
    tab.watch()
    tab.open()
    yield tab
    context.close()
    assert not tab.faults, tab.faults
