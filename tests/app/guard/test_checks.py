"""Host, origin and proxy headers of requests."""

import pytest

from depthbox.app.guard.checks import check_source, clean_headers, is_foreign_link
from depthbox.app.guard.hosts import find_rules
from depthbox.app.guard.routes import RefusedError

OWN = "http://localhost:7860"
RULES = find_rules("127.0.0.1", "127.0.0.1", 7860, ["gpu7.example.org"])


def scope(
    path: str = "/config", method: str = "GET", host: str = "localhost:7860", **headers: str
) -> dict[str, object]:
    pairs = [(b"host", host.encode()), *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items())]
    return {"type": "http", "method": method, "path": path, "headers": pairs, "server": ("127.0.0.1", 7860)}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": OWN},
        {"referer": f"{OWN}/"},
        {"sec_fetch_site": "same-origin", "origin": OWN},
        {"sec_fetch_site": "same-origin", "origin": "null"},
        {"sec_fetch_site": "none"},
        {"host": "gpu7.example.org", "origin": "https://gpu7.example.org"},
    ],
)
def test_requests_of_the_page_and_of_programs_are_accepted(headers: dict[str, str]) -> None:
    check_source(scope(method="POST", **headers), RULES)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:9000"},
        {"origin": "null"},
        {"origin": ""},
        {"referer": "http://evil.example/x"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": OWN},
        {"sec_fetch_site": "nonsense"},
    ],
)
def test_requests_of_other_sites_are_refused(headers: dict[str, str]) -> None:
    for method, path in (("GET", "/config"), ("POST", "/gradio_api/upload"), ("GET", "/"), ("OPTIONS", "/")):
        with pytest.raises(RefusedError, match="other web sites") as refused:
            check_source(scope(path, method, **headers), RULES)
        assert refused.value.status == 403


def test_foreign_and_missing_hosts_are_refused() -> None:
    with pytest.raises(
        RefusedError, match=r"requests to evil\.example:7860: start it with --allow-host evil\.example:7860"
    ):
        check_source(scope(host="evil.example:7860", origin="http://evil.example:7860"), RULES)
    for pairs in ([], [(b"host", b"localhost:7860")] * 2, [(b"host", b"a b")]):
        with pytest.raises(RefusedError, match="names no host") as refused:
            check_source({**scope(), "headers": pairs}, RULES)
        assert refused.value.status == 400


def test_links_of_other_sites_open_the_page_only() -> None:
    followed = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    check_source(scope("/", **followed, referer="http://chat.example/"), RULES)
    for changed in ({"sec_fetch_dest": "iframe"}, {"sec_fetch_mode": "no-cors"}, {"origin": "http://evil.example"}):
        assert not is_foreign_link(scope("/", **(followed | changed)))
        with pytest.raises(RefusedError):
            check_source(scope("/", **(followed | changed)), RULES)
    assert not is_foreign_link(scope("/config", **followed)) and not is_foreign_link(scope("/", "POST", **followed))


def test_headers_of_proxies_are_not_forwarded() -> None:
    sent = {
        "x-forwarded-host": "evil",
        "x-forwarded-proto": "https",
        "x-gradio-server": "evil",
        "forwarded": "a",
        "accept": "*",
    }
    assert dict(clean_headers(scope(**sent), RULES)) == {b"host": b"localhost:7860", b"accept": b"*"}
    behind = dict(clean_headers(scope(host="gpu7.example.org", **sent), RULES))
    assert behind[b"x-forwarded-proto"] == b"https" and b"x-forwarded-host" not in behind
