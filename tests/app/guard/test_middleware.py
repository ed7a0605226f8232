"""Requests to a running server: hosts, tokens, and two users that do not see each other's images."""

import json
import re
from pathlib import Path

import pytest

from .conftest import ADD, DETECT, TAKE, TOKEN, User, take

pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")


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
