"""Guard of the page: an ASGI application in front of Gradio's."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from ..limits import Limits
from ..storage import DownloadStore, Upload, UploadError, UploadStore
from .access import Access
from .answers import Headers, Message, Receive, Scope, Send, encode_refusal, find_header, protect, send_answer
from .calls import check_call
from .checks import check_source, clean_headers, is_foreign_link
from .hosts import HostRules
from .receive import DisconnectedError, LimitedBody, ReceivedFile, receive_file, refuse
from .routes import DOWNLOAD, JOIN, PAGE, UPLOAD, RefusedError, check_route, find_session

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
_BUSY = 503, "the server is busy: try again in a moment"
_RELOAD = b'<!doctype html><meta http-equiv="refresh" content="0"><title>DepthBox</title>'
_KNOWN_SESSIONS = 4096
_PATIENCE = 10.0  # seconds for which an upload waits for its turn


@dataclass
class Guard:
    """ASGI application that forwards only what the page itself would request.

    It checks the names of the host and of the requesting site, the token, the route, the sizes of bodies and the values
    of calls. It binds sessions, uploads and downloads to the browser that made them, and receives uploads itself.

    Attributes:
        application: of Gradio.
        page: Gradio Blocks of the application.
        hosts: names of the server.
        access: token and cookies.
        uploads, downloads: stores of the page.
        limits: limits of the page.
    """

    application: Application
    page: Any
    hosts: HostRules
    access: Access
    uploads: UploadStore
    downloads: DownloadStore
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self._sessions: OrderedDict[str, str] = OrderedDict()  # tab -> browser
        self._receiving = asyncio.Semaphore(self.limits.receiving)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or forward a request."""
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http":
            return await self.application(scope, receive, send)
        extra: Headers = []
        send, body = protect(send, scope["path"], extra), LimitedBody(scope, receive, self.limits)
        with contextlib.suppress(DisconnectedError):
            try:
                await self._answer(body, receive, send, extra)
            except RefusedError as refusal:
                await refuse(body, send, refusal)

    async def _answer(self, body: LimitedBody, receive: Receive, send: Send, extra: Headers) -> None:
        scope, path = body.scope, body.scope["path"]
        check_source(scope, self.hosts)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")[:2000]))
        owner = self.access.find_owner(find_header(scope, b"cookie"))
        admitted = self.access.accepts(query.get("token", ""))
        if path == PAGE and not owner and not admitted and is_foreign_link(scope):
            # Browsers do not send the cookie if a link of another site is followed, but if the page reloads itself.
            return await send_answer(send, 200, _RELOAD, b"text/html; charset=utf-8")
        if self.access.token and not owner and not admitted:
            text = "this page needs its token: open the address that depthbox app has printed, with ?token="
            raise RefusedError(401, text)
        check_route(scope["method"], path)
        if not owner and (path == PAGE or admitted):
            extra.append((b"set-cookie", self._make_cookie()))
        if path == PAGE and admitted:  # the token leaves the address bar and the history
            return await send_answer(send, 303, b"", b"text/plain", [(b"location", b"/")])
        if path == UPLOAD:
            await self._upload(body, send, owner)
        elif path == JOIN:
            await self._join(body, receive, send, owner)
        elif path.startswith(DOWNLOAD):
            await self._download(path, send, owner)
        else:
            await self._forward(scope, receive, send, owner, query)

    async def _forward(self, scope: Scope, receive: Receive, send: Send, owner: str, query: dict[str, str]) -> None:
        session = find_session(scope["path"], query)
        if session is not None:
            self._check_session(session, owner)
        known = urlencode({"session_hash": session}) if session else ""
        headers = clean_headers(scope, self.hosts)
        await self.application({**scope, "headers": headers, "query_string": known.encode()}, receive, send)

    async def _upload(self, body: LimitedBody, send: Send, owner: str) -> None:
        body.check_length()
        try:
            await asyncio.wait_for(self._receiving.acquire(), _PATIENCE)
        except asyncio.TimeoutError as error:
            raise RefusedError(*_BUSY) from error
        try:
            file = await receive_file(body)
            with file.content:
                upload = await asyncio.to_thread(self._store, file, owner)
        finally:
            self._receiving.release()
        await send_answer(send, 200, json.dumps([upload.reference]).encode(), b"application/json")

    def _store(self, file: ReceivedFile, owner: str) -> Upload:
        try:
            return self.uploads.add(file.content, file.name, owner)
        except UploadError as error:
            raise RefusedError(507, str(error)) from error
        except OSError as error:
            raise RefusedError(507, f"the server cannot store the upload ({error.strerror})") from error

    async def _join(self, body: LimitedBody, receive: Receive, send: Send, owner: str) -> None:
        call = check_call(await body.read(), self.page, self.limits)
        self._check_session(call.session, owner)
        try:
            for reference in call.references:
                self.uploads.claim(reference, owner, call.session)
        except UploadError as error:
            raise RefusedError(403, str(error)) from error
        replaced = (b"content-length", b"content-type", b"transfer-encoding")
        headers = [pair for pair in clean_headers(body.scope, self.hosts) if pair[0].lower() not in replaced]
        headers += [(b"content-length", str(len(call.body)).encode()), (b"content-type", b"application/json")]
        scope = {**body.scope, "headers": headers, "query_string": b""}
        await self.application(scope, _replay(call.body, receive), _translate_busy(send, scope["path"]))

    async def _download(self, path: str, send: Send, owner: str) -> None:
        found = self.downloads.find(path[len(DOWNLOAD) :].split("/")[0], owner)
        if found is None:
            raise RefusedError(404, "the page has no such file for this browser")
        disposition = f"attachment; filename*=UTF-8''{quote(found.name, safe='')}".encode()
        await send_answer(send, 200, found.content, b"application/json", [(b"content-disposition", disposition)])

    def _check_session(self, session: str, owner: str) -> None:
        """Bind a tab to the browser that names it first, and refuse it to others."""
        bound = self._sessions.setdefault(session, owner)
        self._sessions.move_to_end(session)
        while len(self._sessions) > _KNOWN_SESSIONS:
            self._sessions.popitem(last=False)
        if bound != owner:
            raise RefusedError(403, "this session belongs to another browser: load the page again")

    def _make_cookie(self) -> bytes:
        value = self.access.make_cookie()
        return f"{self.access.cookie}={value}; Path=/; HttpOnly; SameSite=Strict".encode()


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` of a body that was read already."""
    parts = [body]

    async def replay() -> Message:
        return {"type": "http.request", "body": parts.pop(), "more_body": False} if parts else await receive()

    return replay


def _translate_busy(send: Send, path: str) -> Send:
    """Return a ``send`` that replaces Gradio's answer of a full queue by a plain sentence."""
    busy = False

    async def translate(message: Message) -> None:
        nonlocal busy
        if message["type"] == "http.response.start" and message["status"] == _BUSY[0]:
            busy = True
            content, kind = encode_refusal(path, RefusedError(*_BUSY))
            await send_answer(send, _BUSY[0], content, kind)
        if not busy:
            await send(message)

    return translate
