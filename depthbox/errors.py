"""Mistakes of the user and requests to stop, which end a program with one line, and text that terminals may print."""

from __future__ import annotations

import logging
import re
import signal
import sys
import unicodedata

MISTAKE = 2  # exit status, as of argparse
_BIDIRECTIONAL = {"\u200e", "\u200f", "\u061c", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
_COLORS = re.compile(r"(\x1b\[[0-9;]*m)")
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


def show(text: object = "", *, error: bool = False) -> None:
    """Print a text of one or more lines without control characters, which names in files of users may hold.

    Args:
        text: printed with a line break at its end.
        error: print to the error output.
    """
    print(_printable_lines(str(text)), file=sys.stderr if error else sys.stdout, flush=True)


class PrintableFilter(logging.Filter):
    """Filter of a log handler that removes control characters from the messages, apart from line breaks.

    Names in files of users are arguments of a message. Colors in the message itself are kept.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place; every record passes."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_printable_argument, record.args))
        elif isinstance(record.args, dict):
            record.args = {key: _printable_argument(value) for key, value in record.args.items()}
        parts = _COLORS.split(str(record.msg))  # odd parts are colors
        record.msg = "".join(part if index % 2 else _printable_lines(part) for index, part in enumerate(parts))
        return True


def _printable_argument(value: object) -> object:
    text = "" if isinstance(value, int | float) else str(value)
    safe = _printable_lines(text)
    return value if safe == text else safe


def _printable_lines(text: str) -> str:
    return text if text.isascii() and text.isprintable() else "\n".join(map(printable, text.split("\n")))
