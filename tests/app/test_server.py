"""Port, URL and token of the page, and what Gradio checks behind the guard."""

import contextlib
import os
import re
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from depthbox.app.actions import Actions
from depthbox.app.folder import make_upload_folder
from depthbox.app.network import TrialNetwork
from depthbox.app.page import build_page
from depthbox.app.server import Address, choose_token, find_url, make_server, open_port, serve
from depthbox.app.storage import DownloadStore, UploadStore
from depthbox.app.support import import_gradio


def make_actions(network: TrialNetwork, folder: Path) -> Actions:
    return Actions(network, UploadStore(folder), DownloadStore())


def wait_for_answer(url: str) -> Any:
    """Open a URL without a proxy and with cookies; the socket listens already, so the request waits for the server."""
    import http.cookiejar
    import urllib.request

    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies).open(url, timeout=60)


def test_a_port_in_use_is_named() -> None:
    with open_port("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=rf"^port {port} of 127\.0\.0\.1 cannot be used \(.+\): .*--port"):
            open_port("127.0.0.1", port)
    with open_port("127.0.0.1", port) as again:  # free again after the first socket is closed
        assert find_url(again) == f"http://127.0.0.1:{port}"


def test_a_host_of_another_machine_is_refused() -> None:
    with pytest.raises(OSError, match=r"--(host|port)"):
        open_port("203.0.113.7", 0)
    with pytest.raises(OSError, match="--host"):
        open_port("no such host", 0)


def test_the_address_is_one_for_a_browser_here() -> None:
    with open_port("0.0.0.0", 0) as listener:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", find_url(listener))
        with socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=5):
            pass  # the socket listens already


@pytest.mark.parametrize(
    ("host", "token", "expected"),
    [
        ("127.0.0.1", None, ""),
        ("127.0.0.1", "long enough", "long enough"),
        ("127.0.0.1", "", "random"),
        ("0.0.0.0", None, "random"),
        ("0.0.0.0", "long enough", "long enough"),
    ],
)
def test_other_addresses_than_loopback_have_a_token(host: str, token: str | None, expected: str) -> None:
    with open_port(host, 0) as listener:
        chosen = choose_token(listener, token)
        assert (
            len(chosen) == 32 and chosen != choose_token(listener, token)
            if expected == "random"
            else chosen == expected
        )


def test_the_printed_address_contains_the_token(network: TrialNetwork, tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")
    actions, lines = make_actions(network, tmp_path), []
    with open_port("0.0.0.0", 0) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(
            target=serve, args=(build_page(actions), actions, listener, Address("0.0.0.0", (), "secret-12")),
            kwargs={"report": lines.append}, daemon=True,
        )  # fmt: skip
        thread.start()
        url = f"http://127.0.0.1:{port}/?token=secret-12"
        with contextlib.closing(wait_for_answer(url)) as answer:
            assert answer.status == 200
    assert lines[0] == f"DepthBox is at {url} (Ctrl-C ends it)"
    assert lines[1] == f"Other machines find it at http://{socket.gethostname()}:{port}/?token=secret-12"
    assert "not encrypted" in lines[2] and len(lines) == 3


def test_gradio_itself_refuses_foreign_files(network: TrialNetwork, tmp_path: Path) -> None:
    """The guard is not the only protection: behind it, Gradio checks the paths as well."""
    pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")
    from starlette.testclient import TestClient

    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    with make_upload_folder() as folder, open_port("127.0.0.1", 0) as listener:
        actions = make_actions(network, folder)
        guard = make_server(build_page(actions), actions, listener).config.app
        file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
        call = {"data": [{"file": file, "boxes": []}], "fn_index": 0, "session_hash": "a"}
        with TestClient(guard.application, raise_server_exceptions=False) as client:
            answer = client.post("/gradio_api/run/predict", json=call)
            assert answer.status_code == 500 and "SECRET" not in answer.text and str(tmp_path) not in answer.text
            assert not [path for path in folder.rglob("*") if path.name == secret.name]


def test_missing_gradio_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ImportError, match=r"pip install 'depthbox\[app\]'"):
        import_gradio()
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
