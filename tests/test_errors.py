"""One-line messages of mistakes, and exit statuses of signals."""

import signal

import pytest

from depthbox.errors import MISTAKES, Stopped, UserError, describe_error, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢 👩\u200d🚀 می\u200cخواهم", "plain é 漢 👩\u200d🚀 می\u200cخواهم"),
        ("\x1b]0;title\x07red", "\\x1b]0;title\\x07red"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\ud800", "\\ud800"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("\u2028", "\\u2028"),
    ],
)
def test_control_characters_are_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def test_a_message_becomes_one_line() -> None:
    assert describe_error(ValueError("boxes.json:\n  is empty\x1b[31m")) == "boxes.json: is empty\\x1b[31m"
    assert describe_error(KeyError()) == "KeyError"
    assert len(describe_error(ValueError("x" * 10**6))) < 2100


def test_mistakes_and_bugs_are_told_apart() -> None:
    assert issubclass(UserError, MISTAKES)
    assert not any(
        issubclass(bug, MISTAKES) for bug in (TypeError, KeyError, IndexError, AttributeError, AssertionError)
    )


def test_the_status_of_a_signal_is_that_of_shells() -> None:
    statuses = {sign: Stopped(sign).status for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    assert statuses == {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}
    assert "SIGTERM" in str(Stopped(signal.SIGTERM))
    assert not issubclass(Stopped, Exception)
