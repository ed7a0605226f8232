"""Answers of the guard, and the headers that protect every answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .routes import API, RefusedError, is_cacheable

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# Gradio compiles its templates in the browser, therefore 'unsafe-eval'. Nothing is loaded from other hosts.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'none'; frame-src 'none'; frame-ancestors 'none'"
)
_SECURITY: Headers = [
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_REPLACED = {name for name, _ in _SECURITY} | {b"server", b"x-powered-by"}


def protect(send: Send, path: str, extra: Headers) -> Send:
    """Return a ``send`` that adds the headers of protection, and removes those that let other sites read the answer.

    Args:
        send: of the server.
        path: path of the request.
        extra: further headers, such as a cookie.
    """

    async def send_protected(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if name.lower() not in _REPLACED and not name.lower().startswith(b"access-control-")
            ]
            if not is_cacheable(path):
                kept = [pair for pair in kept if pair[0].lower() != b"cache-control"] + [
                    (b"cache-control", b"no-store")
                ]
            message = {**message, "headers": [*kept, *_SECURITY, *extra]}
        await send(message)

    return send_protected


def encode_refusal(path: str, refusal: RefusedError) -> tuple[bytes, bytes]:
    """Return content and media type of the answer to a refused request: JSON for scripts, text for people."""
    if path.startswith(API):
        return json.dumps({"success": False, "detail": refusal.text}).encode(), b"application/json"
    return f"{refusal.text[:1].upper()}{refusal.text[1:]}.\n".encode(), b"text/plain; charset=utf-8"


async def send_answer(send: Send, status: int, content: bytes, kind: bytes, more: Headers | None = None) -> None:
    """Send a complete answer.

    Args:
        send: of the server.
        status: HTTP status.
        content: body.
        kind: media type.
        more: further headers.
    """
    headers = [(b"content-type", kind), (b"content-length", str(len(content)).encode()), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def find_header(scope: Scope, name: bytes) -> str:
    """Return the only header of a name; "" if there is none or more than one."""
    found = [value for key, value in scope["headers"] if key.lower() == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""
