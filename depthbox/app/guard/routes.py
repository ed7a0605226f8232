"""Routes and methods that the page uses. Gradio has more; the others are refused."""

from __future__ import annotations

import re

API = "/gradio_api/"
PAGE, JOIN, UPLOAD, STREAM, DOWNLOAD = "/", f"{API}queue/join", f"{API}upload", f"{API}queue/data", "/download/"
SESSION = re.compile(r"[A-Za-z0-9]{1,64}")

_READ, _WRITE = ("GET", "HEAD"), ("POST",)
_FILE = r"[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*"
_ROUTES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"/|/config/?|/theme\.css|/favicon\.ico", _READ),
    (rf"/(?:assets|static)/(?:{_FILE}/)*{_FILE}", _READ),
    (r"/download/[0-9a-f]{32}/[^/]+", _READ),
    (rf"{API}(?:app_id|queue/data)|{API}heartbeat/{SESSION.pattern}", _READ),
    (rf"{API}queue/join|{API}upload", _WRITE),
)
_ALLOWED = tuple((re.compile(pattern), methods) for pattern, methods in _ROUTES)
_CACHED = ("/assets/", "/static/", "/theme.css", "/favicon.ico")


class RefusedError(Exception):
    """A request that is not forwarded.

    Args:
        status: HTTP status of the answer.
        text: for the user, one sentence.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def check_route(method: str, path: str) -> None:
    """Check that the page uses a route.

    Args:
        method: HTTP method, in upper case.
        path: decoded path of the request.

    Raises:
        RefusedError: the page does not use the route, or not with this method.
    """
    allowed = [methods for pattern, methods in _ALLOWED if pattern.fullmatch(path)]
    if not allowed:
        raise RefusedError(404, "the page has no such address")
    if method not in allowed[0]:
        raise RefusedError(405, f"this address accepts {' and '.join(allowed[0])} only")


def is_cacheable(path: str) -> bool:
    """Return whether a browser may keep the answer: program files of the page, which contain no data of users."""
    return path.startswith(_CACHED)


def find_session(path: str, query: dict[str, str]) -> str | None:
    """Return the id of the tab that a request names in its path or query; None if the route names none."""
    if path == STREAM:
        return query.get("session_hash", "")
    start = f"{API}heartbeat/"
    return path[len(start) :] if path.startswith(start) else None
