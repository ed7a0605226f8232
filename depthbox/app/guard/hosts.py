"""Names under which the page may be requested, against DNS rebinding and requests of other sites."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>\d{1,5}))?")
_LOCAL = ("localhost", "127.0.0.1", "::1")
_HTTP, _HTTPS = 80, 443


@dataclass(frozen=True)
class HostName:
    """A name or address and a port, from a ``Host`` header or an option.

    Attributes:
        name: in lower case, IPv6 without brackets.
        port: None = not stated.
    """

    name: str
    port: int | None = None


@dataclass(frozen=True)
class HostRules:
    """The names of a server.

    Attributes:
        names: names that are accepted with the port of the server.
        port: port of the server.
        extra: further names, with any port if they state none.
        any_address: the server listens on all addresses; the one that a connection uses is accepted as a name.
    """

    names: frozenset[str]
    port: int
    extra: frozenset[HostName] = frozenset()
    any_address: bool = False

    def accepts(self, host: HostName, address: str = "") -> bool:
        """Return whether a name belongs to this server.

        Args:
            host: from the request.
            address: address of this machine that the connection uses.
        """
        if self.is_extra(host):
            return True
        own = host.name in self.names or (self.any_address and host.name == _normalize(address))
        return own and (host.port or _HTTP) == self.port

    def is_extra(self, host: HostName) -> bool:
        """Return whether a name is one of ``extra``."""
        return host in self.extra or HostName(host.name) in self.extra


def parse_host(text: str) -> HostName | None:
    """Parse ``NAME``, ``NAME:PORT`` or ``[ADDRESS]:PORT``; None if the text has another form."""
    match = _HOST.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    name = _normalize(match["v6"] or match["name"])
    return None if port is not None and not 0 < port <= 65535 else HostName(name, port)


def find_rules(host: str, address: str, port: int, extra: Iterable[str] = ()) -> HostRules:
    """Find the names under which a server may be requested.

    Args:
        host: name or address that was given to listen on.
        address: address of the listening socket.
        port: port of the listening socket.
        extra: further names, ``NAME`` or ``NAME:PORT``.

    Raises:
        ValueError: one of ``extra`` is not a name.
    """
    anywhere = ipaddress.ip_address(address).is_unspecified
    names = {*_LOCAL, _normalize(host), _normalize(address)} - {"0.0.0.0", "::", ""}
    if anywhere:
        names |= _machine_names()
    parsed = set()
    for text in extra:
        found = parse_host(text)
        if found is None:
            raise ValueError(f"--allow-host takes a name or NAME:PORT, such as gpu7 or gpu7:8000, not {text!r}")
        parsed.add(found)
    return HostRules(frozenset(names), port, frozenset(parsed), anywhere)


def is_same_origin(origin: str, host: HostName, secure: bool = False) -> bool:
    """Return whether an ``Origin`` or ``Referer`` is a page of the host itself.

    Args:
        origin: ``http://NAME:PORT``, with or without a path.
        host: the requested host.
        secure: accept https, too, as behind a proxy that ends TLS.
    """
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    standard = {"http": _HTTP} | ({"https": _HTTPS} if secure else {})
    if parts.scheme not in standard or parts.username is not None or not parts.hostname:
        return False
    if _normalize(parts.hostname) != host.name:
        return False
    wanted = host.port or (standard[parts.scheme] if secure else _HTTP)
    return (port or standard[parts.scheme]) == wanted


def _normalize(name: str) -> str:
    """Return a name in lower case, and an address in its shortest form, IPv4 in IPv6 as IPv4."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name.lower()
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def _machine_names() -> set[str]:
    name = socket.gethostname().lower()
    names = {name, socket.getfqdn().lower(), f"{name.split('.')[0]}.local"}
    return {n for n in names if n and parse_host(n)}
