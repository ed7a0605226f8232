"""The page on a port of this machine, until Ctrl-C."""

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
def uploads() -> Iterator[Path]:
    """A folder for what the page is sent; it is removed in the end."""
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
    """A socket that listens; port 0 = any that is free.

    Raises:
        OSError: the port is taken, or the host is none of this machine's addresses.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":  # elsewhere it would let two listen at once
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as error:
        raise OSError(
            f"there is no address {host} on this machine ({error.strerror}); choose another --host"
        ) from error
    try:
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise OSError(
            f"port {port} of {host} cannot be used ({_reason(error)}); choose another one with --port"
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """Where a browser on this machine finds the page."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def make_server(page: Any) -> Any:
    """The page as a server of uvicorn, which loads nothing from elsewhere; ``run(sockets=[...])`` starts it."""
    gr = import_gradio()
    import fastapi
    import uvicorn

    system = ["system-ui", "sans-serif"]
    theme = gr.themes.Default(primary_hue="teal", font=system, font_mono=["ui-monospace", "monospace"])
    theme.set(  # dark enough for white letters
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
    # A browser keeps a line to the page open: without a limit Ctrl-C would wait for it.
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))


def serve(page: Any, listener: socket.socket, *, browser: bool = False, tell: Callable[[str], None] = print) -> None:
    """Show the page until Ctrl-C, which is raised again once all is closed.

    Args:
        page: from ``page.build_page``.
        listener: from ``open_port``.
        browser: open the page in a browser.
        tell: says where it is.
    """
    server = make_server(page)
    tell(f"DepthBox is at {address(listener)} (Ctrl-C ends it)")
    if browser:
        webbrowser.open(address(listener))
    server.run(sockets=[listener])


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
