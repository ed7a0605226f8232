"""Mistakes of the user and requests to stop: what ends a program with one line instead of a traceback."""

from __future__ import annotations

import signal
import unicodedata

MISTAKE = 2  # exit status, as of argparse
_BIDIRECTIONAL = {"\u200e", "\u200f", "\u061c", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
_LONGEST = 2000  # characters of a printed message


class UserError(ValueError):
    """A mistake in a call, a config or a file. The message names the file or key, the cause and the remedy."""


class Stopped(KeyboardInterrupt):
    """A request to stop by a signal.

    Attributes:
        number: number of the signal, such as SIGTERM.
    """

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message or f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def status(self) -> int:
        """Exit status of a process that a signal ended, as shells report it."""
        return 128 + self.number


# These become one line and exit status 2. Any other exception is a bug and shows its traceback.
MISTAKES = (ValueError, OSError, ImportError, FloatingPointError)


def printable(text: object) -> str:
    """Return a text without control characters, which could change the terminal: ``\\x1b`` appears as ``\\x1b``.

    Line breaks and tabs are replaced as well. Characters that cannot be encoded (lone surrogates) and marks that change
    the direction of writing are replaced too.
    """
    hidden = {c for c in str(text) if c in _BIDIRECTIONAL or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
    return "".join(ascii(c)[1:-1] if c in hidden else c for c in str(text))


def describe_error(error: BaseException) -> str:
    """Return the message of an exception as one printable line, or its type if it has no message."""
    text = printable(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
