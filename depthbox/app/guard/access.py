"""Access to the page: the token of the server, and the cookie that identifies a browser."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

SHORTEST = 8
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")
_COOKIE = re.compile(r"([A-Za-z0-9_-]{32})\.([0-9a-f]{64})")


@dataclass(frozen=True)
class Access:
    """Who may use a server.

    The cookie is a random id, signed with a key that lives as long as the server. Browsers can therefore not choose the
    id of another browser, and nothing has to be stored.

    Attributes:
        token: text that a browser must present once; "" = everybody may use the page.
        cookie: name of the cookie. Cookies do not depend on the port, so the name contains it.
    """

    token: str = ""
    cookie: str = "depthbox"
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def accepts(self, token: str) -> bool:
        """Return whether a text is the token, in a time that does not depend on its content."""
        return bool(self.token) and secrets.compare_digest(token.encode("utf-8", "replace"), self.token.encode())

    def make_cookie(self) -> str:
        """Make the value of the cookie of a new browser."""
        owner = secrets.token_urlsafe(24)
        return f"{owner}.{self._sign(owner)}"

    def find_owner(self, header: str) -> str:
        """Return the id of a browser.

        Args:
            header: content of the ``Cookie`` header.

        Returns:
            The id; "" without a cookie that this server has made.
        """
        for part in header.split(";"):
            name, _, value = part.strip().partition("=")
            match = _COOKIE.fullmatch(value) if name == self.cookie else None
            if match is not None and secrets.compare_digest(match[2], self._sign(match[1])):
                return match[1]
        return ""

    def _sign(self, owner: str) -> str:
        return hmac.new(self._key, owner.encode(), hashlib.sha256).hexdigest()


def make_token() -> str:
    """Make a random token of 192 bits."""
    return secrets.token_urlsafe(24)


def check_token(token: str) -> None:
    """Check a token that a user has chosen.

    Raises:
        ValueError: the token is too short or does not fit into a URL.
    """
    if len(token) < SHORTEST or not _TOKEN.fullmatch(token):
        raise ValueError(
            f"--token must have {SHORTEST} characters or more, letters, digits and . _ ~ - only; "
            "without a text, a random token is made"
        )
