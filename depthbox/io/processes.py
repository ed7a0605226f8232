"""Signals that ask a program to stop, and child processes that end with their parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from ..errors import Stopped

STOP_SIGNALS = tuple(
    signal.Signals[name] for name in ("SIGTERM", "SIGINT", "SIGHUP") if name in signal.Signals.__members__
)
ENDING_SIGNALS = tuple(number for number in STOP_SIGNALS if number != signal.SIGINT)
# Programs such as timeout, and a terminal whose processes forward Ctrl-C, send one request twice. A signal within this
# time after the first one repeats it.
REPEAT_SECONDS = 0.5

_depth = 0  # nested calls of handle_signals
_first_request: float | None = None
_postponed = 0  # depth of ``postpone_signals``
_waiting: list[Callable[[], None]] = []  # requests that arrived meanwhile


@contextlib.contextmanager
def handle_signals(
    handler: Callable[[int], None],
    numbers: Sequence[int] = STOP_SIGNALS,
    repeat: float = REPEAT_SECONDS,
    before_exit: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Call a function at the first request to stop; a second signal ends the process at once.

    SIGHUP and SIGTERM stay ignored if they were ignored before, as by ``nohup``. SIGINT is handled in any case: shells
    let background jobs ignore it. Outside the main thread nothing is changed. A forked child ends by these signals
    without a message.

    Args:
        handler: called with the number of the signal, in the main thread; it may raise.
        numbers: the signals.
        repeat: a signal within these seconds after the first one is part of the same request.
        before_exit: called before a second signal ends the process.
    """
    global _depth, _first_request
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def receive(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif _postponed:
            _waiting.append(lambda: receive(number, None))
        elif _is_first(number, repeat, before_exit):
            handler(number)

    previous = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number, old in previous.items() if old != signal.SIG_IGN or number == signal.SIGINT]
    if not _depth:
        _first_request = None
    _depth += 1
    try:
        for number in handled:
            signal.signal(number, receive)
        yield
    finally:
        _depth -= 1
        for number in handled:
            signal.signal(number, previous[number] or signal.SIG_DFL)


@contextlib.contextmanager
def raise_on_signals(numbers: Sequence[int] = STOP_SIGNALS, repeat: float = REPEAT_SECONDS) -> Iterator[None]:
    """Turn signals into ``Stopped``, so that ``finally`` blocks run and the exit status is that of the signal.

    Args:
        numbers: the signals.
        repeat: see ``handle_signals``.

    Raises:
        Stopped: at the first signal, in the main thread.
    """

    def stop(number: int) -> None:
        raise Stopped(number)

    with handle_signals(stop, numbers, repeat):
        yield


@contextlib.contextmanager
def postpone_signals() -> Iterator[None]:
    """Let requests to stop wait until the end of a block, in which an exception of a handler would be lost.

    This concerns finalizers of objects: Python prints their exceptions and continues. If the block runs because of an
    exception, which ends the program anyway, the requests are dropped.
    """
    global _postponed
    ending = sys.exc_info()[1] is not None
    _postponed += 1
    try:
        yield
    finally:
        _postponed -= 1
        if ending:
            _waiting.clear()
        while _waiting and not _postponed:
            _waiting.pop(0)()


def ignore_stop_signals() -> None:
    """Ignore requests to stop in a worker process: its parent receives them too, and ends the worker."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def die_with_parent(parent: int | None = None) -> None:
    """Let the kernel kill this process when its parent dies: an orphan must not continue to write.

    Args:
        parent: process id of the parent; if it has died already, this process ends at once.
    """
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def _is_first(number: int, repeat: float, before_exit: Callable[[], None]) -> bool:
    """Return whether a signal is the first request; end the process at a second one."""
    global _first_request
    now = time.monotonic()
    if _first_request is None:
        _first_request = now
        return True
    if now - _first_request < repeat:
        return False
    before_exit()
    os.write(2, b"ended at once by a second signal\n")
    os._exit(128 + number)
