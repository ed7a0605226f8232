"""Execution of the training runs of an ablation, one process per free device."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import torch
from tqdm import tqdm

from ...config.loading import ConfigError
from ...io.processes import die_with_parent
from .plan import AblationRun, check_settings, count_iterations, is_started, read_final_metrics
from .results import write_origin

CONSOLE = "console.txt"
_TAIL_LINES = 15
_SECONDS_TO_END = 10.0
# Seconds between two updates of the progress bar: short in a terminal, long in a log file.
_BAR_INTERVAL = 0.5 if sys.stderr.isatty() else 30.0


@dataclass(frozen=True)
class FailedRun:
    """A run without results.

    Attributes:
        run: the run.
        reason: one line.
        tail: last lines of its console output.
    """

    run: AblationRun
    reason: str
    tail: str


@dataclass
class _Active:
    run: AblationRun
    device: str
    process: subprocess.Popen[bytes]
    console_start: int
    seen: int


def find_devices() -> list[str]:
    """Return all visible GPUs, or the CPU once if there is none."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]


def check_devices(devices: Sequence[str]) -> None:
    """Raise ConfigError if a device is neither ``cpu`` nor a visible ``cuda:N``."""
    known = {"cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))}
    unknown = [device for device in devices if device not in known]
    if unknown or not devices:
        raise ConfigError(
            f"--devices: {' '.join(unknown) or 'an empty list'} cannot be used; choose among {' '.join(sorted(known))}"
        )


def make_command(run: AblationRun, device: str, command: Sequence[str]) -> list[str]:
    """Return the command line that starts or resumes a run."""
    words = [*command, "--config-file", run.config, *(["--resume"] if is_started(run) else []), *run.overrides]
    keys = {"MODEL.DEVICE": device.split(":")[0], "OUTPUT_DIR": str(run.folder), "SEED": str(run.seed)}
    return words + [word for pair in keys.items() for word in pair]


def make_environment(device: str, devices: Sequence[str], outer: Mapping[str, str], cores: int) -> dict[str, str]:
    """Return the environment of a run: only its own device is visible, and CPU runs share the cores evenly.

    Args:
        device: device of the run.
        devices: all devices in use at the same time.
        outer: environment of this process.
        cores: number of CPU cores of the machine.
    """
    result = dict(outer)
    if device == "cpu":
        result["CUDA_VISIBLE_DEVICES"] = ""
        result.setdefault("OMP_NUM_THREADS", str(max(1, cores // list(devices).count("cpu"))))
        return result
    visible = [part for part in outer.get("CUDA_VISIBLE_DEVICES", "").split(",") if part]
    index = int(device.removeprefix("cuda:"))
    result["CUDA_VISIBLE_DEVICES"] = visible[index] if visible else str(index)
    return result


def execute(
    runs: Sequence[AblationRun],
    devices: Sequence[str],
    command: Sequence[str],
    after_run: Callable[[], None] = lambda: None,
    poll: float = 1.0,
) -> list[FailedRun]:
    """Execute the unfinished runs; a failed run does not stop the others.

    Ctrl-C and SIGTERM terminate all runs and raise KeyboardInterrupt. Calling again resumes them.

    Args:
        runs: runs in the order in which they are started.
        devices: ``cpu`` or ``cuda:N``; a device that is named twice executes two runs at a time.
        command: command that starts a run, tools/train_net.py; the options of the run are appended.
        after_run: called after each run that produced results.
        poll: seconds between two checks of the processes.

    Returns:
        The runs that failed.

    Raises:
        ConfigError: a folder contains a run with other settings.
    """
    for run in runs:
        check_settings(run)
    waiting = deque(run for run in runs if read_final_metrics(run.folder) is None)
    free, active, failures = list(devices), list[_Active](), list[FailedRun]()
    total, done = sum(r.iterations for r in waiting), sum(count_iterations(r.folder) for r in waiting)
    if len(waiting) < len(runs):
        print(f"{len(runs) - len(waiting)} of {len(runs)} runs are finished already")
    bar = tqdm(total=total, initial=min(done, total), unit="it", desc="ablation", mininterval=_BAR_INTERVAL)
    with _terminable(), bar:
        try:
            while waiting or active:
                while waiting and free:
                    active.append(_start(waiting.popleft(), free.pop(0), devices, command))
                    bar.write(f"{active[-1].run.label}: started on {active[-1].device}", file=sys.stdout)
                time.sleep(poll)
                for item in _remove_ended(active, bar):
                    free.append(item.device)
                    failure = _find_failure(item)
                    bar.write(f"{item.run.label}: {failure.reason if failure else 'done'}", file=sys.stdout)
                    if failure:
                        failures.append(failure)
                    else:
                        after_run()
        finally:
            _stop(active)
    return failures


def _start(run: AblationRun, device: str, devices: Sequence[str], command: Sequence[str]) -> _Active:
    run.folder.mkdir(parents=True, exist_ok=True)
    words = make_command(run, device, command)
    if not is_started(run):
        write_origin(run, device)
    console = run.folder / CONSOLE
    start = console.stat().st_size if console.exists() else 0
    with open(console, "ab") as file:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=make_environment(device, devices, os.environ, os.cpu_count() or 1),
            start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the runs
            preexec_fn=die_with_parent,
        )
    return _Active(run, device, process, start, count_iterations(run.folder))


def _remove_ended(active: list[_Active], bar: tqdm) -> list[_Active]:
    """Update the progress bar, and remove the ended runs from ``active``; returns them."""
    for item in active:
        done = min(count_iterations(item.run.folder), item.run.iterations)
        bar.update(max(done - item.seen, 0))
        item.seen = max(done, item.seen)
    ended = [item for item in active if item.process.poll() is not None]
    active[:] = [item for item in active if item not in ended]
    return ended


def _find_failure(item: _Active) -> FailedRun | None:
    """Return the failure of an ended run; None if it produced results."""
    code = item.process.returncode
    if code == 0 and read_final_metrics(item.run.folder) is not None:
        return None
    reason = f"failed with exit status {code}" if code else "ended without results"
    return FailedRun(item.run, reason, _read_tail(item.run.folder / CONSOLE, item.console_start))


def _read_tail(path: Path, start: int) -> str:
    """Return the last lines of a file that start at or after the byte ``start``."""
    with open(path, "rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:])


def _stop(active: Sequence[_Active]) -> None:
    """Terminate the runs and their child processes: SIGTERM first, SIGKILL after a timeout."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for item in active:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(item.process.pid, sign)
        end = time.monotonic() + _SECONDS_TO_END
        for item in active:
            with contextlib.suppress(subprocess.TimeoutExpired):
                item.process.wait(max(0.0, end - time.monotonic()))


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, so that the runs are terminated."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # signal handlers can be set in the main thread alone
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
