"""Reception of request bodies and uploads, with limits that hold while the data arrive."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..limits import Limits, format_bytes
from .answers import Message, Receive, Scope, Send, encode_refusal, find_header
from .routes import UPLOAD, RefusedError

_OVERHEAD = 10_000  # bytes of an upload that are not the file
# A refused body is read and forgotten, up to so many times the limit of an upload, and so many seconds.
_DRAINED, _DRAIN_SECONDS = 8, 30.0


class DisconnectedError(ConnectionError):
    """A client that has closed the connection."""


@dataclass(frozen=True)
class ReceivedFile:
    """An uploaded file.

    Attributes:
        content: temporary file without a name, at its start.
        name: name on the user's computer, not yet cleaned.
    """

    content: BinaryIO
    name: str


class LimitedBody:
    """Body of a request, of which a limited number of bytes is received in a limited time.

    Args:
        scope: of the request.
        receive: of the server.
        limits: limits of uploads and of other bodies.
    """

    def __init__(self, scope: Scope, receive: Receive, limits: Limits) -> None:
        self.scope, self.limits, self._receive = scope, limits, receive
        self.limit = limits.upload_bytes if scope["path"] == UPLOAD else limits.body_bytes
        self._left = self.limit + (_OVERHEAD if scope["path"] == UPLOAD else 0)
        self._end = time.monotonic() + limits.receive_seconds
        self.complete = False

    async def __call__(self) -> Message:
        """Receive the next part.

        Raises:
            RefusedError: the body is too large, or takes too long.
            DisconnectedError: the client has closed the connection.
        """
        try:
            message = await asyncio.wait_for(self._receive(), max(self._end - time.monotonic(), 0.01))
        except asyncio.TimeoutError as error:
            raise RefusedError(408, f"the request took longer than {self.limits.receive_seconds:g} seconds") from error
        if message["type"] != "http.request":
            raise DisconnectedError("the client has closed the connection")
        self.complete = not message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise self.too_large()
        return message

    def check_length(self) -> None:
        """Check the ``Content-Length`` before anything is received.

        Raises:
            RefusedError: it exceeds the limit.
        """
        length = find_header(self.scope, b"content-length")
        if length.isascii() and length.isdigit() and (len(length) > 15 or int(length) > self._left):
            raise self.too_large()

    def too_large(self) -> RefusedError:
        """Return the refusal of a body that exceeds the limit."""
        return RefusedError(413, f"the upload has more than {format_bytes(self.limit)}: make the file smaller")

    async def read(self) -> bytes:
        """Read the whole body.

        Raises:
            RefusedError, DisconnectedError: see ``__call__``.
        """
        self.check_length()
        parts: list[bytes] = []
        while not self.complete:
            parts.append((await self()).get("body", b""))
        return b"".join(parts)

    async def drain(self) -> None:
        """Receive the rest of the body and forget it, up to a limit."""
        self._left, self._end = _DRAINED * self.limits.upload_bytes, time.monotonic() + _DRAIN_SECONDS
        try:
            while not self.complete:
                await self()
        except (RefusedError, DisconnectedError):
            pass  # the connection is closed


async def receive_file(body: LimitedBody) -> ReceivedFile:
    """Receive the one file of a ``multipart/form-data`` request into a temporary file.

    Raises:
        RefusedError: the body is not such a form with one file named "files", or see ``LimitedBody``.
        DisconnectedError: see ``LimitedBody``.
    """
    from starlette.datastructures import UploadFile
    from starlette.requests import Request

    body.check_length()
    request: Any = Request({"type": "http", "headers": body.scope["headers"], "method": "POST"}, body)
    try:
        form = await request.form(max_files=1, max_fields=4)
    except (RefusedError, DisconnectedError):
        raise
    except Exception as error:  # parsers of damaged forms raise nearly anything
        raise RefusedError(400, "the upload is not a form with one file") from error
    files = form.getlist("files")
    if len(files) != 1 or not isinstance(files[0], UploadFile):
        raise RefusedError(400, "the upload is not a form with one file named 'files'")
    if (files[0].size or 0) > body.limit:
        raise body.too_large()
    return ReceivedFile(files[0].file, files[0].filename or "")


async def refuse(body: LimitedBody, send: Send, refusal: RefusedError) -> None:
    """Send the answer to a refused request at once.

    Many clients read it only after they have sent the whole body, which is therefore received and forgotten.
    """
    content, kind = encode_refusal(body.scope["path"], refusal)
    headers = [(b"content-type", kind), (b"content-length", str(len(content)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": True})
    if find_header(body.scope, b"expect").lower() != "100-continue":  # such a client waits for permission to send
        await body.drain()
    await send({"type": "http.response.body", "body": b""})
