"""Running servers, and users who send real requests to them."""

import http.client
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from depthbox.app.limits import Limits
from depthbox.app.network import TrialNetwork

Serve = Callable[..., AbstractContextManager[str]]
TAKE, ADD, DETECT, MASK = range(4)
LIMITS = Limits(upload_bytes=200_000, body_bytes=100_000, pixels=20_000, text=5000, disk_bytes=2_000_000)
TOKEN = "secret-token-12"


@dataclass
class User:
    """A user of the page: requests with the cookies that the server has set, and a session.

    Attributes:
        url: of the server.
        cookies: ``Cookie`` header; "" = none.
        session: id of the tab.
    """

    url: str
    cookies: str = ""
    session: str = field(default_factory=lambda: secrets.token_hex(6))

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        if self.cookies:
            named.setdefault("Cookie", self.cookies)
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        found = {key.lower(): value for key, value in answer.getheaders()}
        content = answer.read()
        connection.close()
        return answer.status, found, content

    def visit(self, path: str = "/") -> int:
        status, headers, _ = self.ask("GET", path)
        if "set-cookie" in headers:
            self.cookies = headers["set-cookie"].split(";")[0]
        return status

    def upload(self, content: bytes, name: str = "a.png", **headers: str) -> tuple[int, Any]:
        head = f'--m\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        kind = "multipart/form-data; boundary=m"
        status, _, body = self.ask(
            "POST", "/gradio_api/upload", head + content + b"\r\n--m--\r\n", Content_Type=kind, **headers
        )
        return status, json.loads(body)

    def join(self, number: int, data: list[Any]) -> tuple[int, Any]:
        call = {"data": data, "fn_index": number, "session_hash": self.session}
        status, _, body = self.ask(
            "POST", "/gradio_api/queue/join", json.dumps(call).encode(), Content_Type="application/json"
        )
        return status, json.loads(body)

    def call(self, number: int, data: list[Any]) -> str:
        """Run an action; gives the last message of the server."""
        status, said = self.join(number, data)
        assert status == 200, said
        _, _, body = self.ask("GET", f"/gradio_api/queue/data?session_hash={self.session}")
        return next(line for line in body.decode().splitlines() if "process_completed" in line)

    def give(self, photo: Path) -> str:
        """Upload an image and show it; gives its reference."""
        status, said = self.upload(photo.read_bytes(), photo.name)
        assert status == 200 and '"success":true' in self.call(TAKE, [take(said[0])])
        return str(said[0])


def take(reference: str) -> dict[str, Any]:
    return {"file": {"path": reference, "meta": {"_type": "gradio.FileData"}}, "boxes": []}


def take_none() -> dict[str, Any]:
    return {"file": None, "boxes": []}


@pytest.fixture(scope="module")
def url(network: TrialNetwork, serve: Serve) -> Iterator[str]:
    with serve(network, LIMITS) as address:
        yield address


@pytest.fixture(scope="module")
def locked(network: TrialNetwork, serve: Serve) -> Iterator[str]:
    """URL of a server with a token."""
    with serve(network, token=TOKEN, allowed=("gpu7",)) as address:
        yield address


@pytest.fixture
def anna(url: str) -> User:
    user = User(url)
    assert user.visit() == 200 and user.cookies
    return user


@pytest.fixture
def ben(url: str) -> User:
    user = User(url)
    assert user.visit() == 200
    return user
