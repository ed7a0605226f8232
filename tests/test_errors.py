"""One-line messages of mistakes, and exit statuses of signals."""

import logging
import os
import signal
from pathlib import Path

import pytest

import depthbox  # noqa: F401
from depthbox.errors import MISTAKES, PrintableFilter, Stopped, UserError, describe_error, printable, show


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


def test_texts_are_shown_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    show("first \x1b]0;title\x07\nsecond \ud800 é")
    show(Path("a\x1b[2J"), error=True)
    shown = capsys.readouterr()
    assert shown.out == "first \\x1b]0;title\\x07\nsecond \\ud800 é\n" and shown.err == "a\\x1b[2J\n"


@pytest.mark.parametrize(
    ("message", "arguments", "shown"),
    [
        ("%s of %d", ("a\x1b]0;x\x07\r", 3), "a\\x1b]0;x\\x07\\r of 3"),
        ("%(name)s: %(share).1f", ({"name": "\u202ex\x1b[31m", "share": 0.5},), "\\u202ex\\x1b[31m: 0.5"),
        ("table\n%s", ("a\nb",), "table\na\nb"),
        ("\x1b[32mgreen\x1b[0m \x1b[2J %s", (ValueError("\x1b[2J"),), "\x1b[32mgreen\x1b[0m \\x1b[2J \\x1b[2J"),
        ("100 %", (), "100 %"),
    ],
)
def test_log_messages_have_no_control_characters_of_their_arguments(
    message: str, arguments: tuple[object, ...], shown: str
) -> None:
    record = logging.LogRecord("depthbox", logging.INFO, "", 0, message, arguments, None)
    assert PrintableFilter().filter(record)
    assert record.getMessage() == shown


def test_warnings_of_commands_without_a_log_are_printable() -> None:
    assert any(isinstance(known, PrintableFilter) for known in logging.lastResort.filters)
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] and os.environ["GRADIO_ANALYTICS_ENABLED"]
