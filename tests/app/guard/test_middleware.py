"""Requests to a running server: hosts, tokens, limits, and two users that do not see each other's images."""

import http.client
import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from depthbox.app.limits import Limits
from depthbox.app.network import TrialNetwork

pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")
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


def test_every_answer_is_protected(anna: User) -> None:
    for path in ("/", "/config", "/theme.css", "/nothing", "/gradio_api/nothing"):
        status, headers, _ = anna.ask("GET", path)
        assert status == (404 if "nothing" in path else 200)
        assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff"
        assert (
            "frame-ancestors 'none'" in headers["content-security-policy"]
            and headers["referrer-policy"] == "no-referrer"
        )
        assert not [name for name in headers if name.startswith("access-control-")] and "server" not in headers
        assert (headers.get("cache-control") == "no-store") == (path != "/theme.css")


def test_the_cookie_cannot_be_read_by_scripts_and_other_sites(url: str) -> None:
    _, headers, _ = User(url).ask("GET", "/")
    assert re.fullmatch(r"depthbox_\d+=[\w.-]{97}; Path=/; HttpOnly; SameSite=Strict", headers["set-cookie"])


def test_foreign_hosts_and_sites_are_refused(anna: User, photo: Path) -> None:
    port = anna.url.rpartition(":")[2]
    for headers in ({"Host": f"evil.example:{port}"}, {"Host": "localhost"}, {"Origin": "http://evil.example"}):
        for path in ("/", "/config", "/theme.css"):
            assert anna.ask("GET", path, **headers)[0] == 403
        status, said = anna.upload(photo.read_bytes(), **headers)
        assert status == 403 and said["success"] is False and said["detail"]
    status, headers, _ = anna.ask("OPTIONS", "/gradio_api/queue/join", Origin="http://evil.example")
    assert status == 403 and "access-control-allow-origin" not in headers
    for name in ("localhost", "127.0.0.1", "[::1]"):
        assert anna.ask("GET", "/config", Host=f"{name}:{port}", Origin=f"http://{name}:{port}")[0] == 200


def test_two_users_do_not_see_each_others_images(anna: User, ben: User, photo: Path) -> None:
    reference = anna.give(photo)
    last = anna.call(DETECT, [None, 0.0, "Masks"])
    link = re.search(r"download/[0-9a-f]{32}/my%20photo_coco\.json", last)
    assert link is not None
    status, headers, content = anna.ask("GET", f"/{link[0]}")
    assert status == 200 and len(json.loads(content)["annotations"]) == 5
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''my%20photo_coco.json"
    for other in (ben, User(anna.url), User(anna.url, cookies="depthbox_1=x")):
        assert other.ask("GET", f"/{link[0]}")[0] == 404
        assert other.join(TAKE, [take(reference)]) == (
            403, {"success": False, "detail": "the image was not uploaded by this page: upload it again"}
        )  # fmt: skip
        assert "Upload an image first" in other.call(DETECT, [None, 0.0, "Masks"])
        status, _, said = other.ask("GET", f"/gradio_api/queue/data?session_hash={anna.session}")
        assert status == 403 and b"another browser" in said
        assert other.ask("GET", f"/gradio_api/heartbeat/{anna.session}")[0] == 403
        thief = User(other.url, other.cookies, anna.session)
        assert thief.join(DETECT, [None, 0.0, "Masks"])[0] == 403
    second = User(anna.url, anna.cookies)  # another tab of the same browser
    assert second.join(TAKE, [take(reference)])[0] == 403


def test_clients_without_cookies_do_not_share_images_either(url: str, photo: Path) -> None:
    first, second = User(url), User(url)
    reference = first.give(photo)
    assert second.join(TAKE, [take(reference)])[0] == 403
    assert "tbody" in first.call(DETECT, [None, 0.0, "Masks"])


def test_files_of_the_machine_stay_there(anna: User, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    for path in (str(secret), "/etc/passwd", "/proc/self/environ", "config.yaml"):
        for prefix in ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/assets/", "/static/../../../"):
            assert anna.ask("GET", prefix + path)[0] == 404
        assert anna.join(TAKE, [take(path)])[0] == 400
        assert anna.join(ADD, ["1 1 5 5", take(path), None])[0] == 400


def test_uploaded_pages_are_not_shown(anna: User) -> None:
    for name in ("a.html", "a.svg"):
        status, said = anna.upload(b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', name)
        assert status == 200
        for prefix in ("/gradio_api/file=", "/download/", "/"):
            assert anna.ask("GET", prefix + said[0])[0] == 404
        last = anna.call(TAKE, [take(said[0])])
        assert f"the image {name} is not readable" in last.replace("The image", "the image") and "<script" not in last


def test_names_are_no_html(anna: User, photo: Path) -> None:
    status, said = anna.upload(photo.read_bytes(), "<img src=x onerror=alert(1)>.png")
    assert status == 200
    anna.call(TAKE, [take(said[0])])
    last = anna.call(DETECT, [None, 0.0, "Masks"])
    assert "onerror" in last and "<img src=x" not in last


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


def take_none() -> dict[str, Any]:
    return {"file": None, "boxes": []}


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


def test_without_the_token_nothing_is_answered(locked: str, photo: Path) -> None:
    stranger = User(locked)
    for path in ("/", "/config", "/theme.css", "/gradio_api/app_id", "/?token=wrong", "/?token=", "/nothing"):
        status, headers, said = stranger.ask("GET", path)
        assert status == 401 and b"token" in said and "set-cookie" not in headers
        assert TOKEN not in said.decode()
    assert stranger.upload(photo.read_bytes())[0] == 401
    assert stranger.join(DETECT, [None, 0.0, "Masks"])[0] == 401
    forged = User(locked, f"depthbox_{locked.rpartition(':')[2]}={'a' * 32}.{'0' * 64}")
    assert forged.visit() == 401


def test_the_token_is_replaced_by_a_cookie(locked: str, photo: Path) -> None:
    user = User(locked)
    status, headers, _ = user.ask("GET", f"/?token={TOKEN}")
    assert status == 303 and headers["location"] == "/" and TOKEN not in headers["set-cookie"]
    assert user.visit(f"/?token={TOKEN}") == 303 and user.visit() == 200
    user.give(photo)
    assert "tbody" in user.call(DETECT, [None, 0.0, "Masks"])
    port = locked.rpartition(":")[2]
    assert user.ask("GET", "/config", Host="gpu7")[0] == 200 and user.ask("GET", "/config", Host="gpu8")[0] == 403
    assert user.ask("GET", "/config", Host=f"localhost:{port}")[0] == 200


def test_a_link_of_another_site_reloads_the_page_with_its_cookie(url: str, locked: str) -> None:
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    for address in (url, locked):
        status, headers, said = User(address).ask("GET", "/", **link)
        assert status == 200 and b'http-equiv="refresh"' in said and "set-cookie" not in headers and len(said) < 200
    assert User(locked).ask("GET", f"/?token={TOKEN}", **link)[0] == 303
    assert User(locked).ask("GET", "/config", **link)[0] == 403


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
