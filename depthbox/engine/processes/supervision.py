"""The launcher: start of several processes, and their end when one of them fails or a signal arrives."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ...errors import Stopped
from ...io.processes import STOP_SIGNALS, handle_signals
from .rank import run_rank
from .reports import GroupMember, RankError, RankReport, format_cause, read_report, report_path

_SECONDS_TO_REPORT = 0.5  # after the first failure, for processes that fail at the same time
_SECONDS_TO_END = 5.0  # after SIGTERM, until SIGKILL
_SECONDS_TO_SAVE = 25.0  # the same after a request to stop, for the checkpoint
_POLL_SECONDS = 0.2
_TRACKER = "ignore::UserWarning:multiprocessing.resource_tracker"


def run_ranks(
    main: Callable[[], Any], num_processes: int, num_machines: int, machine_rank: int, url: str, device_type: str
) -> None:
    """Run ``main()`` in several processes of this machine, and end all of them if one fails; see ``launch``."""
    with tempfile.TemporaryDirectory(prefix="depthbox-launch-", ignore_cleanup_errors=True) as folder:
        first = GroupMember(
            f"file://{folder}/rendezvous" if url == "auto" else url,
            *(machine_rank * num_processes, num_processes * num_machines, 0, num_processes, device_type),
        )
        members = [replace(first, rank=first.rank + n, local_rank=n) for n in range(num_processes)]
        ranks = _Ranks(members, Path(folder))
        with handle_signals(ranks.request_stop, before_exit=ranks.kill):
            try:
                ranks.start(main)
                ranks.wait()
            except BaseException:
                ranks.kill()
                raise
        ranks.raise_failure()


class _Ranks:
    """Child processes of a group."""

    def __init__(self, members: Sequence[GroupMember], folder: Path) -> None:
        self._members = members
        self._folder = folder
        self._processes: list[BaseProcess] = []
        self._requested = 0  # signal to this process
        self._ended_by_us: set[int] = set()  # local ranks

    def request_stop(self, number: int) -> None:
        """Pass a signal on to all processes, which finish their step and write a checkpoint."""
        self._requested = number
        self._signal(number)

    def start(self, main: Callable[[], Any]) -> None:
        """Start all processes; signals reach them when they are ready to handle them."""
        # Semaphores of a process that was killed are removed by multiprocessing, with a warning that explains nothing.
        warnings = os.environ.get("PYTHONWARNINGS", "")
        if _TRACKER not in warnings:
            os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [warnings, _TRACKER]))
        context = multiprocessing.get_context("spawn")
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # inherited
        try:
            for member in self._members:
                process = context.Process(target=run_rank, args=(main, member, self._folder, os.getpid()))
                process.start()
                self._processes.append(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        if self._requested:  # meanwhile
            self._signal(self._requested)

    def wait(self) -> None:
        """Wait for the end of all processes; after the first failure, end the others."""
        failed_at: float | None = None
        steps = [(_SECONDS_TO_REPORT, signal.SIGTERM), (_SECONDS_TO_REPORT + _SECONDS_TO_END, signal.SIGKILL)]
        while alive := [process for process in self._processes if process.exitcode is None]:
            connection.wait([process.sentinel for process in alive], timeout=_POLL_SECONDS)
            failed = [process for process in self._processes if process.exitcode]
            if failed_at is None and failed:
                failed_at = time.monotonic()
                if self._requested or any(process.exitcode > 128 for process in failed if process.exitcode):
                    steps = [steps[0], (_SECONDS_TO_SAVE, signal.SIGKILL)]
            while failed_at is not None and steps and time.monotonic() - failed_at > steps[0][0]:
                self._signal(steps.pop(0)[1], ended_by_us=True)

    def kill(self) -> None:
        """Kill all processes at once."""
        self._signal(signal.SIGKILL, ended_by_us=True)

    def raise_failure(self) -> None:
        """Raise the cause of the end, if not all processes succeeded.

        Raises:
            Stopped: by a signal.
            RankError: a process failed.
        """
        reports = [r for n, process in enumerate(self._processes) if (r := self._report(n, process)) is not None]
        if not reports:
            return
        order = ("mistake", "killed", "bug", "stopped", "lost")
        if self._requested or any(report.kind == "stopped" for report in reports):
            order = ("stopped", "mistake", "bug", "killed", "lost")
        cause = min(reports, key=lambda report: (order.index(report.kind), report.at, report.rank))
        if cause.kind == "stopped" or (self._requested and cause.kind in ("killed", "lost")):
            raise Stopped(self._requested or cause.number, cause.message if cause.kind == "stopped" else "")
        if cause.kind == "bug":
            print(cause.details, end="", file=sys.stderr, flush=True)
        raise RankError(format_cause(cause, self._members[0].world_size))

    def _report(self, number: int, process: BaseProcess) -> RankReport | None:
        """Return why a process ended; None if it succeeded or was ended because of another one."""
        member = self._members[number]
        report = read_report(report_path(self._folder, member))
        if report is not None:
            return report
        code = process.exitcode
        if not code or number in self._ended_by_us:
            return None
        if code > 0:
            return RankReport(member.rank, "killed", f"ended with exit status {code}")
        name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
        hint = ", often because memory ran out" if -code == signal.SIGKILL else ""
        return RankReport(member.rank, "killed", f"was killed by signal {-code} ({name}){hint}", number=-code)

    def _signal(self, number: int, ended_by_us: bool = False) -> None:
        for local_rank, process in enumerate(self._processes):
            if process.pid is not None and process.exitcode is None:
                if ended_by_us:
                    self._ended_by_us.add(local_rank)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)
