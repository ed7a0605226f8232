"""Maps over worker processes that end with their parent and leave signals to it."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


class WorkerKilledError(ValueError):
    """A worker process that was killed. The message names the probable cause and the remedy."""


@contextlib.contextmanager
def map_in_processes(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Iterable[Result]]:
    """Yield the results of a function for all items in order; processes compute them ahead.

    The block may be left at any time, also by an error or a signal: the processes finish the items that they have
    begun and end.

    Args:
        work: function that can be pickled.
        items: its arguments.
        workers: number of processes; for fewer than two, or a single item, this process computes.

    Raises:
        WorkerKilledError: a process was killed from outside, for instance for lack of memory.
    """
    if min(workers, len(items)) < 2:
        yield map(work, items)
        return
    # Workers only run numpy, so forking is safe and avoids the start of new interpreters.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(min(workers, len(items)), context, follow_parent, (os.getpid(),))
    try:
        yield pool.map(work, items)
    except BrokenProcessPool as error:
        raise WorkerKilledError(
            "a worker process was killed, probably for lack of memory: use fewer --workers, then the same command again"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def follow_parent(parent: int) -> None:
    """Prepare a worker process: Ctrl-C and hangups concern its parent, which ends it; it dies with its parent.

    SIGTERM keeps its default, with which the pool ends its processes.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked process has the handlers of its parent
    for name in ("SIGINT", "SIGHUP"):  # a terminal sends them to all processes of a job
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
