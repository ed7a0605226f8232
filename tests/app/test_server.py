"""Port and URL of the page, and the folder of uploads."""

import os
import re
import socket
import sys

import pytest

from depthbox.app.server import find_url, make_upload_folder, open_port
from depthbox.app.support import import_gradio


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


def test_uploads_are_removed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "mine")
    with make_upload_folder() as folder:
        (folder / "a").mkdir()
        (folder / "a" / "b.png").write_bytes(b"x")
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
    assert not folder.exists() and os.environ["GRADIO_TEMP_DIR"] == "mine"
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    with make_upload_folder():
        pass
    assert "GRADIO_TEMP_DIR" not in os.environ


def test_missing_gradio_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ImportError, match=r"pip install 'depthbox\[app\]'"):
        import_gradio()
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
