"""Server of the page, on a port of this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .support import import_gradio
from .view import STYLE


@contextlib.contextmanager
def make_upload_folder() -> Iterator[Path]:
    """Create the folder of uploads for a block, and remove it at the end."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="depthbox_app_", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop("GRADIO_TEMP_DIR")
            if before is not None:
                os.environ["GRADIO_TEMP_DIR"] = before


def open_port(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Args:
        host: name or address of this machine.
        port: 0 = any free port.

    Raises:
        OSError: the port is in use, or the host is not an address of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":  # on Windows, two sockets could listen on one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as error:
        raise OSError(f"this machine has no address {host} ({error.strerror}): choose another --host") from error
    try:
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise OSError(
            f"port {port} of {host} cannot be used ({_describe_error(error)}): choose another one with --port"
        ) from error
    return listener


def find_url(listener: socket.socket) -> str:
    """Return the URL of the page for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def make_server(page: Any) -> Any:
    """Make a uvicorn server of the page that loads nothing from other hosts; ``run(sockets=[...])`` starts it."""
    gr = import_gradio()
    import fastapi
    import uvicorn

    system = ["system-ui", "sans-serif"]
    theme = gr.themes.Default(primary_hue="teal", font=system, font_mono=["ui-monospace", "monospace"])
    theme.set(  # dark enough for white text
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
    )
    app = gr.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None),
        page.queue(),
        path="/",
        theme=theme,
        css=STYLE,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
    )
    # Browsers keep a connection open. Without a timeout, Ctrl-C would wait for it.
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))


def serve(page: Any, listener: socket.socket, *, browser: bool = False, report: Callable[[str], None] = print) -> None:
    """Serve the page until Ctrl-C; the KeyboardInterrupt is raised again after the server is closed.

    Args:
        page: from ``page.build_page``.
        listener: from ``open_port``.
        browser: open the page in a browser.
        report: receives a line with the URL.
    """
    server = make_server(page)
    report(f"DepthBox is at {find_url(listener)} (Ctrl-C ends it)")
    if browser:
        webbrowser.open(find_url(listener))
    server.run(sockets=[listener])


def _describe_error(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
