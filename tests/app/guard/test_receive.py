"""Reception of bodies: limits that hold while the data arrive."""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest

from depthbox.app.guard.receive import DisconnectedError, LimitedBody, receive_file, refuse
from depthbox.app.guard.routes import UPLOAD, RefusedError
from depthbox.app.limits import Limits

pytest.importorskip("starlette", reason="pip install 'depthbox[app]'")
LIMITS = Limits(upload_bytes=100_000, body_bytes=1000, receive_seconds=5)
FORM = b'--m\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s\r\n--m--\r\n'


class Client:
    """A client that sends a body in parts, and counts how many were received."""

    def __init__(self, parts: Iterator[bytes] | list[bytes], stays: bool = False) -> None:
        self.parts, self.received, self.stays = iter(parts), 0, stays

    async def __call__(self) -> dict[str, Any]:
        part = next(self.parts, None)
        if part is None:
            if self.stays:
                await asyncio.sleep(60)
            return {"type": "http.disconnect"}
        self.received += 1
        return {"type": "http.request", "body": part, "more_body": not part.endswith(b"--m--\r\n") and part != b"end"}


def body(client: Client, path: str = UPLOAD, limits: Limits = LIMITS, **headers: str) -> LimitedBody:
    sent = {"content-type": "multipart/form-data; boundary=m"} | {k.replace("_", "-"): v for k, v in headers.items()}
    pairs = [(key.encode(), value.encode()) for key, value in sent.items()]
    return LimitedBody({"type": "http", "path": path, "headers": pairs}, client, limits)


def run(task: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(task)


def test_a_file_is_received() -> None:
    file = run(receive_file(body(Client([FORM[:30], FORM[30:] % (b"a b.png", b"x" * 100_000)]))))
    with file.content:
        assert file.name == "a b.png" and file.content.read() == b"x" * 100_000


def test_a_large_upload_is_refused_while_it_arrives() -> None:
    client = Client(FORM[:-9] % (b"a", b"x" * 1000) if n == 0 else b"x" * 10_000 for n in range(1000))
    with pytest.raises(RefusedError, match=r"^the upload has more than 0\.1 MB: make the file smaller$") as refused:
        run(receive_file(body(client)))
    assert refused.value.status == 413 and client.received <= 13


def test_a_large_upload_is_refused_by_its_stated_length_before_it_arrives() -> None:
    for length in ("200000", "9" * 400):
        client = Client([b"x"])
        with pytest.raises(RefusedError, match="more than"):
            run(receive_file(body(client, content_length=length)))
        with pytest.raises(RefusedError, match="more than"):
            run(body(client, "/gradio_api/queue/join", content_length=length).read())
        assert client.received == 0


def test_a_file_just_beyond_the_limit_is_refused() -> None:
    with pytest.raises(RefusedError, match="more than"):
        run(receive_file(body(Client([FORM % (b"a", b"x" * 100_001)]))))


def test_other_bodies_have_a_limit_of_their_own() -> None:
    assert run(body(Client([b"x" * 997, b"end"]), "/gradio_api/queue/join").read()) == b"x" * 997 + b"end"
    with pytest.raises(RefusedError) as refused:
        run(body(Client([b"x" * 998, b"end"]), "/gradio_api/queue/join").read())
    assert refused.value.status == 413


def test_slow_and_vanished_clients_are_noticed() -> None:
    quick = replace(LIMITS, receive_seconds=0.05)
    with pytest.raises(RefusedError, match=r"longer than 0\.05 seconds") as refused:
        run(body(Client([b"x"], stays=True), limits=quick).read())
    assert refused.value.status == 408
    with pytest.raises(DisconnectedError):
        run(receive_file(body(Client([FORM[:30]]))))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (FORM % (b"a", b"x"), "text/plain"),
        (FORM % (b"a", b"x"), "multipart/form-data"),
        (FORM % (b"a", b"x"), ""),
        (FORM.replace(b'; filename="%s"', b"") % b"x", "multipart/form-data; boundary=m"),
        (FORM.replace(b'name="files"; ', b"") % (b"a", b"x"), "multipart/form-data; boundary=m"),
        (FORM.replace(b'"files"', b'"other"') % (b"a", b"x"), "multipart/form-data; boundary=m"),
        ((FORM[:-9] + b"\r\n" + FORM) % (b"a", b"x", b"b", b"y"), "multipart/form-data; boundary=m"),
        (b"end", "multipart/form-data; boundary=m"),
        (b"\0" * 5000 + b"--m--\r\n", "multipart/form-data; boundary=m"),
        (FORM % (b"a", b"x"), f"multipart/form-data; boundary={'m' * 5000}"),
    ],
)
def test_other_forms_are_refused(content: bytes, kind: str) -> None:
    with pytest.raises(RefusedError, match="the upload is not a form with one file") as refused:
        run(receive_file(body(Client([content]), content_type=kind)))
    assert refused.value.status == 400


def test_a_strange_character_set_is_not_a_fault() -> None:
    file = run(
        receive_file(
            body(Client([FORM % (b"\xff.png", b"x")]), content_type="multipart/form-data; boundary=m; charset=no")
        )
    )
    assert file.name == "ÿ.png"


def answer(client: Client, **headers: str) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message | {"received": client.received})

    run(refuse(body(client, **headers), send, RefusedError(413, "too large")))
    return sent


def test_a_refusal_is_sent_at_once_and_the_rest_is_forgotten() -> None:
    client = Client(b"x" * 10_000 for _ in range(1000))
    start, content, _ = answer(client)
    assert start["status"] == 413 and start["received"] == content["received"] == 0
    assert content["body"] == b'{"success": false, "detail": "too large"}'
    assert client.received == 81  # 8 times the limit of an upload; the connection is closed then
    client = Client([b"x"])
    answer(client, expect="100-continue")
    assert client.received == 0
