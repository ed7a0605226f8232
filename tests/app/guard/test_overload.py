"""Requests beyond the limits of a running server: sizes, counts, the disk, the queue, and damaged requests."""

import http.client
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from depthbox.app.limits import Limits
from depthbox.app.network import TrialNetwork

from .conftest import ADD, DETECT, MASK, TAKE, Serve, User, take, take_none

pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")


def test_large_uploads_are_refused(anna: User, photo: Path) -> None:
    status, said = anna.upload(b"x" * 1_000_000)
    assert status == 413 and said["detail"] == "the upload has more than 0.2 MB: make the file smaller"
    parts = (b"x" * 10_000 for _ in range(100))  # chunked, without a Content-Length
    head = b'--m\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    connection = http.client.HTTPConnection(anna.url.removeprefix("http://"), timeout=30)
    kind = {"Content-Type": "multipart/form-data; boundary=m"}
    connection.request("POST", "/gradio_api/upload", (part for part in (head, *parts)), kind, encode_chunked=True)
    assert connection.getresponse().status == 413
    assert anna.upload(photo.read_bytes())[0] == 200


def test_an_upload_that_states_its_size_is_refused_before_it_is_sent(anna: User) -> None:
    host, port = anna.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 300000000\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_large_images_texts_and_calls_are_refused(anna: User, photo: Path) -> None:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("1", (60_000, 1000)).save(file, format="PNG")
    assert anna.upload(file.getvalue())[0] == 200
    last = anna.call(TAKE, [take(anna.upload(file.getvalue())[1][0])])
    assert "has 60000 x 1000 pixels, at most 0.02 million are accepted" in last
    anna.give(photo)
    assert anna.join(ADD, ["x" * 6000, take_none(), None])[0] == 400
    assert anna.join(ADD, ["x" * 200_000, take_none(), None])[0] == 413
    boxes = [{"box": [1, 1, 5, 5]}] * 301
    assert "301 boxes are too many: at most 300 per image" in anna.call(MASK, [None, {"boxes": boxes}, 0.0, "Masks"])
    assert "301 boxes are too many" in anna.call(ADD, ["1 1 5 5\n" * 301, take_none(), None])


def test_the_disk_is_not_filled(network: TrialNetwork, serve: Serve) -> None:
    with serve(network, Limits(disk_bytes=1000)) as url:
        user = User(url)
        assert user.upload(b"x" * 600)[0] == 200
        status, said = user.upload(b"x" * 600)
        assert status == 507 and said["detail"] == "the server has no space for more images: try again later"


def test_a_full_queue_is_said_and_others_are_served(
    network: TrialNetwork, serve: Serve, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, detect = threading.Event(), TrialNetwork.detect

    def wait(self: TrialNetwork, *arguments: Any) -> Any:
        assert released.wait(30)
        return detect(self, *arguments)

    monkeypatch.setattr(TrialNetwork, "detect", wait)
    with serve(network, Limits(waiting=2)) as url:
        users = [User(url) for _ in range(4)]
        for user in users:
            user.give(photo)
        assert users[0].join(DETECT, [None, 0.0, "Masks"])[0] == 200
        time.sleep(0.3)  # the first call leaves the queue
        for user in users[1:3]:
            assert user.join(DETECT, [None, 0.0, "Masks"])[0] == 200
        assert users[3].join(DETECT, [None, 0.0, "Masks"]) == (
            503, {"success": False, "detail": "the server is busy: try again in a moment"}
        )  # fmt: skip
        other = User(url)
        assert other.visit() == 200 and other.upload(photo.read_bytes())[0] == 200
        released.set()
        for user in users[:3]:
            _, _, body = user.ask("GET", f"/gradio_api/queue/data?session_hash={user.session}")
            assert b"tbody" in body
        assert "tbody" in users[3].call(DETECT, [None, 0.0, "Masks"])


def test_six_users_at_once_are_served(url: str, photo: Path) -> None:
    served: list[str] = []

    def use() -> None:
        user = User(url)
        user.visit()
        user.give(photo)
        served.append(user.call(DETECT, [None, 0.0, "Masks"]))

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(served) == 6 and all("tbody" in last for last in served)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: {host}\r\nContent-Length: x\r\n\r\n",
        b"\0\xff\r\n\r\n",
    ],
)
def test_damaged_requests_are_refused(url: str, sent: bytes) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent.replace(b"{host}", f"{host}:{port}".encode()))
        assert re.match(rb"HTTP/1\.1 (400|403|431) ", connection.recv(100))
