"""Checks of a request's headers: the host it names, and the site that sends it."""

from __future__ import annotations

from .answers import Headers, Scope, find_header
from .hosts import HostName, HostRules, is_same_origin, parse_host
from .routes import PAGE, RefusedError

_PROXY = (b"x-forwarded-", b"x-gradio-", b"x-original-", b"x-real-", b"forwarded")


def check_source(scope: Scope, hosts: HostRules) -> None:
    """Check that a request names this server, and that no other site has caused it.

    ``Host`` protects against DNS rebinding. ``Origin``, ``Referer`` and ``Sec-Fetch-Site`` protect against requests
    that another page sends from the browser of the user. Programs other than browsers send only ``Host``.

    Args:
        scope: of the request.
        hosts: names of this server.

    Raises:
        RefusedError: a foreign host or site.
    """
    name = find_header(scope, b"host")
    host = parse_host(name)
    if host is None:
        raise RefusedError(400, "the request names no host, or several")
    address = (scope.get("server") or ("",))[0]
    if not hosts.accepts(host, str(address)):
        hint = f"--allow-host {name}" if host.port else f"--allow-host {host.name}"
        text = f"this server does not accept requests to {name}: start it with {hint} if that is its name"
        raise RefusedError(403, text)
    if not is_foreign_link(scope) and not _is_own_request(scope, host, hosts):
        raise RefusedError(403, "requests of other web sites are not answered")


def is_foreign_link(scope: Scope) -> bool:
    """Return whether a person has followed a link of another site to the page, which is harmless."""
    return (
        scope["method"] == "GET"
        and scope["path"] == PAGE
        and find_header(scope, b"sec-fetch-site") in ("cross-site", "same-site")
        and find_header(scope, b"sec-fetch-mode") == "navigate"
        and find_header(scope, b"sec-fetch-dest") == "document"
        and not _values(scope, b"origin")
    )


def clean_headers(scope: Scope, hosts: HostRules) -> Headers:
    """Return the headers without those by which proxies replace host and address of a request.

    ``X-Forwarded-Proto: https`` is kept for hosts of ``--allow-host``, behind which a proxy may end TLS.
    """
    host = parse_host(find_header(scope, b"host"))
    behind_proxy = host is not None and hosts.is_extra(host)
    return [
        (name, value)
        for name, value in scope["headers"]
        if not name.lower().startswith(_PROXY)
        or (behind_proxy and name.lower() == b"x-forwarded-proto" and value == b"https")
    ]


def _is_own_request(scope: Scope, host: HostName, hosts: HostRules) -> bool:
    site = _values(scope, b"sec-fetch-site")
    if any(value not in ("same-origin", "none") for value in site):
        return False
    secure = hosts.is_extra(host)
    origins = [value for value in _values(scope, b"origin") if value != "null" or site != ["same-origin"]]
    return all(is_same_origin(value, host, secure) for value in [*origins, *_values(scope, b"referer")])


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]
