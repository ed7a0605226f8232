"""Names of the server: Host headers, origins and the machine's own names."""

import socket

import pytest

from depthbox.app.guard.hosts import HostName, find_rules, is_same_origin, parse_host


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:7860", HostName("localhost", 7860)),
        ("LOCALHOST", HostName("localhost")),
        ("[::1]:80", HostName("::1", 80)),
        ("[0:0::0:1]", HostName("::1")),
        ("[::ffff:127.0.0.1]:1", HostName("127.0.0.1", 1)),
        *(
            (text, None)
            for text in ("", "a b", "a:", "a:0", "a:99999", "::1", "a@b", "a/b", "a\n", "a,b", "[a]:1", "é")
        ),
    ],
)
def test_hosts_are_parsed(text: str, expected: HostName | None) -> None:
    if text == "[a]:1":
        expected = HostName("a", 1)  # an address that does not exist, and is none of the server's
    assert parse_host(text) == expected


def accepted(text: str, host: str, address: str, *extra: str, connection: str = "") -> bool:
    parsed = parse_host(text)
    assert parsed is not None
    return find_rules(host, address, 7860, extra).accepts(parsed, connection)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_loopback_names_are_accepted_with_the_port(name: str) -> None:
    for host, address in (("127.0.0.1", "127.0.0.1"), ("localhost", "::1"), ("0.0.0.0", "0.0.0.0"), ("::", "::")):
        assert accepted(f"{name}:7860", host, address)
        assert not accepted(name, host, address) and not accepted(f"{name}:7861", host, address)


def test_other_names_are_refused() -> None:
    for name in ("evil.example", "127.0.0.1.evil.example", "127.0.0.2", "localhost.", "0.0.0.0", "[::]", "x"):
        assert not accepted(f"{name}:7860", "127.0.0.1", "127.0.0.1", connection="127.0.0.1")
    assert accepted("192.0.2.7:7860", "192.0.2.7", "192.0.2.7") and accepted("gpu7:7860", "GPU7", "192.0.2.7")


def test_on_all_addresses_the_names_of_the_machine_are_accepted() -> None:
    for host in ("0.0.0.0", "::"):
        assert accepted("192.0.2.7:7860", host, host, connection="192.0.2.7")
        assert accepted("192.0.2.7:7860", host, host, connection="::ffff:192.0.2.7")
        assert accepted(f"{socket.gethostname()}:7860", host, host, connection="192.0.2.7")
        assert not accepted("192.0.2.8:7860", host, host, connection="192.0.2.7")
        assert not accepted("evil.example:7860", host, host, connection="192.0.2.7")
    assert not accepted("192.0.2.7:7860", "127.0.0.1", "127.0.0.1", connection="192.0.2.7")


def test_further_names_may_be_allowed() -> None:
    local = ("127.0.0.1", "127.0.0.1")
    assert accepted("gpu7:7860", *local, "gpu7") and accepted("GPU7", *local, "gpu7")
    assert accepted("gpu7:8000", *local, "gpu7:8000") and not accepted("gpu7:7860", *local, "gpu7:8000")
    assert accepted("localhost:9000", *local, "a", "localhost:9000")
    with pytest.raises(ValueError, match=r"--allow-host takes a name or NAME:PORT, .* not 'http://gpu7'"):
        find_rules(*local, 7860, ["http://gpu7"])


@pytest.mark.parametrize(
    ("origin", "same"),
    [
        ("http://localhost:7860", True),
        ("http://LOCALHOST:7860/some/page?x", True),
        ("https://localhost:7860", False),
        ("http://localhost", False),
        ("http://localhost:7861", False),
        ("http://127.0.0.1:7860", False),
        ("http://localhost:7860.evil.example", False),
        ("http://localhost:7860@evil.example", False),
        ("http://user@localhost:7860", False),
        ("null", False),
        ("", False),
        ("http://[", False),
        ("file:///localhost", False),
    ],
)
def test_an_origin_is_the_same_with_scheme_name_and_port(origin: str, same: bool) -> None:
    assert is_same_origin(origin, HostName("localhost", 7860)) == same


def test_a_proxy_may_add_encryption() -> None:
    for host in (HostName("gpu7"), HostName("gpu7", 443)):
        assert is_same_origin("https://gpu7", host, secure=True) and not is_same_origin("https://gpu7", host)
