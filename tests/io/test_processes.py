"""Signals become exceptions, a second one ends the process, and children end with their parents."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from depthbox.errors import Stopped
from depthbox.io import processes
from depthbox.io.processes import STOP_SIGNALS, handle_signals, ignore_stop_signals, postpone_signals, raise_on_signals

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_raises_and_the_handler_is_restored(number):
    before, cleaned = signal.getsignal(number), []
    with pytest.raises(Stopped, match=f"stopped by {number.name}") as stop, raise_on_signals():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            cleaned.append(True)
    assert stop.value.status == 128 + number and cleaned == [True]
    assert signal.getsignal(number) == before


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as by nohup
    try:
        with raise_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupt_is_handled_in_a_background_job_of_a_shell():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as `command &` in a script does
    try:
        with pytest.raises(Stopped) as stop, raise_on_signals((signal.SIGINT,)):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.value.status == 130 and signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_waits_for_the_end_of_a_finalizer(capsys):
    class Finalized:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            finished.append(True)

    finished = []
    with pytest.raises(Stopped), raise_on_signals(), postpone_signals():
        Finalized()
        assert finished == [True]
    assert "Exception ignored" not in capsys.readouterr().err


def test_a_signal_during_the_end_by_an_error_does_not_hide_the_error():
    with raise_on_signals():
        try:
            try:
                raise KeyError("first")
            finally:
                with postpone_signals():
                    os.kill(os.getpid(), signal.SIGTERM)
        except KeyError as error:
            assert error.args == ("first",)


def test_a_repeated_signal_is_one_request(monkeypatch):
    ended, received = [], []
    monkeypatch.setattr(processes.os, "_exit", ended.append)
    clock = [10.9, 10.2, 10.0]
    real = processes.time.monotonic
    monkeypatch.setattr(processes.time, "monotonic", lambda: clock.pop() if clock else real())
    with handle_signals(received.append, before_exit=lambda: ended.append("kill")):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == [signal.SIGTERM] and ended == []
        os.kill(os.getpid(), signal.SIGINT)
    assert received == [signal.SIGTERM] and ended == ["kill", 130]


def test_a_forked_child_ends_by_the_signal_without_a_message(capfd):
    with raise_on_signals():
        child = os.fork()
        if child == 0:
            try:
                time.sleep(20)
            finally:
                os._exit(0)
        time.sleep(0.1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    assert capfd.readouterr().err == ""


def test_other_threads_change_no_handler():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def look():
        with raise_on_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_worker_ignores_requests_to_stop():
    child = os.fork()
    if child == 0:
        ignore_stop_signals()
        for number in STOP_SIGNALS:
            os.kill(os.getpid(), number)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


PARENT = """
import os, sys, time
from depthbox.io.processes import die_with_parent
parent = os.getpid()
if os.fork() == 0:
    die_with_parent(parent)
    print(os.getpid(), flush=True)
    time.sleep(60)
else:
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
def test_a_child_dies_with_a_killed_parent():
    words = [sys.executable, "-S", "-c", PARENT]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
        assert parent.stdout.read() == ""  # the pipe closes when the child is dead
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(child, 0)
            time.sleep(0.02)
