"""The page in a browser: the token, the limit of uploads, and a page of another site."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from depthbox.app.limits import Limits
from depthbox.app.network import TrialNetwork

from .conftest import Tab

pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")


@pytest.fixture(scope="module")
def locked(network: TrialNetwork, serve: Any) -> Iterator[str]:
    """URL of a server with a token, and small limits."""
    with serve(network, Limits(upload_bytes=100_000), token="secret-12") as address:
        yield address


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
