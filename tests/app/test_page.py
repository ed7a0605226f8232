"""The page in a browser: upload, detection, drawn boxes, masks and the downloaded JSON file."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import needs_browser
from pycocotools.coco import COCO

from depthbox.app.limits import Limits
from depthbox.app.network import TrialNetwork

pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")
DESKTOP, PHONE = (1280, 900), (390, 844)


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


@pytest.fixture(scope="module")
def locked(network: TrialNetwork, serve: Any) -> Iterator[str]:
    """URL of a server with a token, and small limits."""
    with serve(network, Limits(upload_bytes=100_000), token="secret-12") as address:
        yield address


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


@pytest.mark.parametrize("tab", [DESKTOP, PHONE], indirect=True, ids=["desktop", "phone"])
def test_from_image_to_json(tab: Tab, photo: Path, tmp_path: Path) -> None:
    assert tab.fits() and tab.page.is_disabled("#download")
    tab.give(photo)
    tab.page.click("#find")
    tab.page.wait_for_selector("#view th:has-text('Score')")
    assert tab.page.locator("#view tbody tr").count() == 5 and tab.fits()
    assert len(tab.download(tmp_path).anns) == 5

    tab.drag((30, 20, 60, 61), (96, 128))
    tab.drag((100, 10, 20, 20), (96, 128))
    assert tab.page.locator(".db-list li").count() == 2
    tab.page.click("text=Undo")
    tab.page.select_option(".db-class", "cup")
    tab.drag((90, 60, 30, 30), (96, 128))
    tab.page.click("#mask")
    tab.page.wait_for_selector("#view th:has-text('Quality')")
    assert tab.fits()
    coco = tab.download(tmp_path)
    first, second = coco.loadAnns([1, 2])
    assert coco.imgs[1] == {"id": 1, "file_name": "my photo.png", "height": 96, "width": 128}
    np.testing.assert_allclose(first["bbox"], (30, 20, 60, 61), atol=1)
    np.testing.assert_allclose(second["bbox"], (90, 60, 30, 30), atol=1)
    assert [coco.cats[row["category_id"]]["name"] for row in (first, second)] == ["cat", "cup"]
    for row in (first, second):
        rows, columns = np.nonzero(coco.annToMask(row))
        x, y, width, height = row["bbox"]
        assert len(rows) == row["area"] > 0 and 0 < row["score"] <= 1
        assert x - 1 <= columns.min() and columns.max() <= x + width
        assert y - 1 <= rows.min() and rows.max() <= y + height


def test_pasted_boxes_and_their_mistakes(tab: Tab, photo: Path) -> None:
    tab.give(photo)
    tab.page.click("text=Paste boxes")
    tab.page.fill("#text textarea", "10 20 30 40 dog\n5 50 20")
    tab.page.click("#add")
    tab.page.wait_for_selector(".db-error:has-text(\"Line 2: '5 50 20' is not a box\")")
    assert tab.page.locator(".db-list li").count() == 0
    tab.page.fill("#text textarea", "10 20 30 40 dog\n[100, 80, 90, 90]")
    tab.page.click("#add")
    tab.page.wait_for_selector(".db-list li:nth-child(2)")
    assert tab.page.locator(".db-list li span:nth-child(2)").all_inner_texts() == [
        "dog · 30 × 40 at 10, 20",
        "cat · 28 × 16 at 100, 80",  # clipped to the image
    ]
    assert tab.page.input_value("#text textarea") == "" and tab.page.locator(".db-error").count() == 0
    tab.page.click("[aria-label='remove box 1']")
    assert tab.page.locator(".db-layer rect").count() == 1
    tab.page.click("text=Remove all")
    tab.page.click("#mask")
    tab.page.wait_for_selector("#view:has-text('There are no boxes yet')")


def test_states_without_a_result(tab: Tab, photo: Path, tmp_path: Path) -> None:
    tab.page.click("#find")
    tab.page.wait_for_selector("#view:has-text('Upload an image first')")
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:200])
    tab.page.set_input_files(".db-input", str(broken))
    tab.page.wait_for_selector(".db-error:has-text('broken.png is')")
    assert tab.page.is_visible(".db-choose")
    tab.give(photo)
    tab.page.click("#find")
    tab.page.wait_for_selector("#view tbody tr")
    tab.page.get_by_label("Depth").check()
    tab.page.wait_for_selector("#view .db-scale")
    tab.page.fill("#least input[type=number]", "1")
    tab.page.keyboard.press("Tab")
    tab.page.click("#find")
    tab.page.wait_for_selector("#view:has-text('No object has a score of 1.00 or more')")
    assert tab.page.is_disabled("#download") and tab.fits()


def test_a_drag_beyond_the_image_ends_at_its_border_and_a_click_is_not_a_box(tab: Tab, photo: Path) -> None:
    tab.give(photo)
    tab.drag((100, 70, 200, 10), (96, 128))
    tab.drag((50, 50, 0.2, 0.2), (96, 128))
    assert tab.page.locator(".db-list li span:nth-child(2)").all_inner_texts() == ["cat · 28 × 10 at 100, 70"]


@pytest.mark.parametrize("tab", [PHONE], indirect=True, ids=["phone"])
def test_a_box_is_drawn_with_a_finger(tab: Tab, photo: Path) -> None:
    tab.give(photo)
    area = tab.page.locator(".db-layer").bounding_box()
    device = tab.page.context.new_cdp_session(tab.page)
    for kind, share in (("touchStart", 0.25), ("touchMove", 0.5), ("touchMove", 0.75), ("touchEnd", None)):
        point = {"x": area["x"] + (share or 0) * area["width"], "y": area["y"] + (share or 0) * area["height"]}
        touches = [] if share is None else [point]
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
    tab.page.wait_for_selector(".db-list li:has-text('cat · 64 × 48 at 32, 24')")
    assert tab.page.evaluate("scrollY") == 0  # drawing does not scroll the page


def test_an_image_is_dropped(tab: Tab, photo: Path) -> None:
    import base64

    data = base64.b64encode(photo.read_bytes()).decode()
    transfer = tab.page.evaluate_handle(
        """(data) => { const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
            transfer.items.add(new File([bytes], 'dropped.png', { type: 'image/png' })); return transfer; }""",
        data,
    )
    tab.page.dispatch_event(".db-drop", "drop", {"dataTransfer": transfer})
    tab.page.wait_for_selector(".db-stage:not([hidden])")
    ratio = tab.page.evaluate("(() => { const a = document.querySelector('.db-image'); return a.width / a.height; })()")
    assert ratio == pytest.approx(128 / 96, abs=0.01)


def test_a_page_with_a_token(browser: Any, locked: str, photo: Path, tmp_path: Path) -> None:
    context = browser.new_context()
    context.set_default_timeout(20_000)
    tab = Tab(context.new_page(), locked)
    assert tab.page.goto(locked).status == 401
    assert "needs its token: open the address that depthbox app has printed" in tab.page.inner_text("body")
    tab.watch()
    tab.page.goto(f"{locked}/?token=secret-12")
    assert tab.page.url == f"{locked}/" and not tab.page.evaluate("document.cookie")
    tab.give(photo)
    tab.page.click("#find")
    tab.page.wait_for_selector("#view tbody tr")
    assert len(tab.download(tmp_path).anns) == 5
    large = tmp_path / "large.png"
    large.write_bytes(b"x" * 100_001)
    tab.page.set_input_files(".db-input", str(large))
    tab.page.wait_for_selector(".db-error:has-text('large.png could not be uploaded: it has more than 0.1 MB')")
    tab.open()  # again, with the cookie
    assert not tab.faults, tab.faults
    context.close()


def test_another_site_cannot_use_the_page(browser: Any, url: str) -> None:
    """A page of another origin neither frames the page, nor sends requests to it."""
    context = browser.new_context()
    page = context.new_page()
    page.route("http://evil.example/**", lambda route: route.fulfill(body="<p>evil</p>", content_type="text/html"))
    page.goto("http://evil.example/")
    tried = page.evaluate(
        """async (url) => {
            const form = new FormData();
            form.append('files', new Blob(['x']), 'a.png');
            const ask = (path, more) => fetch(url + path, more).then((answer) => answer.status, () => 'refused');
            return [await ask('/config'), await ask('/gradio_api/upload', { method: 'POST', body: form })];
        }""",
        url,
    )
    assert tried == ["refused", "refused"]
    page.set_content(f'<iframe src="{url}/" width="400" height="300"></iframe>')
    page.wait_for_timeout(500)
    assert not any(frame.locator(".db-choose").count() for frame in page.frames[1:])
    context.close()
