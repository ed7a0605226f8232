"""Server of the page, on a port of this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from .actions import Actions
from .guard.access import Access, make_token
from .guard.hosts import find_rules
from .guard.middleware import Guard
from .support import import_gradio
from .view import STYLE


@dataclass(frozen=True)
class Address:
    """Names and token of a server.

    Attributes:
        host: name or address that was given to listen on.
        allowed: further names under which the page may be requested, ``NAME`` or ``NAME:PORT``.
        token: text that browsers must present, see ``choose_token``; "" = everybody may use the page.
    """

    host: str = "127.0.0.1"
    allowed: tuple[str, ...] = ()
    token: str = ""


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
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or "it is not a name"
        raise OSError(f"this machine has no address {host} ({cause}): choose another --host") from error
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


def choose_token(listener: socket.socket, token: str | None = None) -> str:
    """Return the token of a server: addresses that other machines reach always have one.

    Args:
        listener: from ``open_port``.
        token: chosen by the user; "" = a random one; None = none, or a random one if other machines reach the address.
    """
    host = listener.getsockname()[0].split("%")[0]
    demanded = token is not None or not ipaddress.ip_address(host).is_loopback
    return (token or make_token()) if demanded else ""


def make_server(page: Any, actions: Actions, listener: socket.socket, address: Address | None = None) -> Any:
    """Make a uvicorn server of the page; ``run(sockets=[listener])`` starts it.

    Nothing is loaded from other hosts, and every request passes the guard first.

    Args:
        page: from ``page.build_page``.
        actions: of the page; its stores and limits are those of the guard.
        listener: from ``open_port``.
        address: names and token; None = those of the loopback interface.
    """
    import uvicorn

    address, limits = address or Address(), actions.limits
    host, port = listener.getsockname()[:2]
    rules = find_rules(address.host, host.split("%")[0], port, address.allowed)
    page.has_launched = True  # otherwise Gradio does not check the paths of files
    page.state_session_capacity = limits.sessions
    page.queue(max_size=limits.waiting)
    access = Access(address.token, f"depthbox_{port}")
    guard = Guard(_mount(page), page, rules, access, actions.uploads, actions.downloads, limits)
    config = uvicorn.Config(
        guard,
        http="h11",  # limits the size of headers
        ws="none",
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=1,  # browsers keep a connection open; Ctrl-C would wait for it
    )
    return uvicorn.Server(config)


def serve(
    page: Any,
    actions: Actions,
    listener: socket.socket,
    address: Address | None = None,
    *,
    browser: bool = False,
    report: Callable[[str], None] = print,
) -> None:
    """Serve the page until Ctrl-C; the KeyboardInterrupt is raised again after the server is closed.

    Args:
        page, actions, listener, address: see ``make_server``.
        browser: open the page in a browser.
        report: receives lines with the URL.
    """
    server = make_server(page, actions, listener, address)
    token = server.config.app.access.token
    url = find_url(listener) + (f"/?token={token}" if token else "")
    report(f"DepthBox is at {url} (Ctrl-C ends it)")
    for line in _describe_remote(listener, token):
        report(line)
    if browser:
        webbrowser.open(url)
    with _close_at_hang_up(server):
        server.run(sockets=[listener])


@contextlib.contextmanager
def _close_at_hang_up(server: Any) -> Iterator[None]:
    """Close the server at SIGHUP as uvicorn does at SIGTERM, and pass the signal to the earlier handler afterwards."""
    number = getattr(signal, "SIGHUP", None)
    handler = signal.getsignal(number) if number is not None else None
    if number is None or not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def close(number: int, frame: FrameType | None) -> None:
        received.append(number)
        server.handle_exit(number, frame)

    signal.signal(number, close)
    try:
        yield
    finally:
        signal.signal(number, handler)
    if received:
        signal.raise_signal(number)


def _mount(page: Any) -> Any:
    gr = import_gradio()
    import fastapi

    system = ["system-ui", "sans-serif"]
    theme = gr.themes.Default(primary_hue="teal", font=system, font_mono=["ui-monospace", "monospace"])
    theme.set(  # dark enough for white text
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
    )
    return gr.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None),
        page,
        path="/",
        theme=theme,
        css=STYLE,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=False,
        enable_monitoring=False,
    )


def _describe_remote(listener: socket.socket, token: str) -> Iterable[str]:
    """Return the line with the URL for other machines, if the server listens on all addresses."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host.split("%")[0]).is_unspecified:
        yield f"Other machines find it at http://{socket.gethostname()}:{port}/?token={token}"
    if token:
        yield "Who has this address can use the page. The connection is not encrypted."


def _describe_error(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
