"""Commands in processes that are forked from a warmed server, with limits on time and memory."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MEMORY, MEMORY_LIMIT = 4 * 2**30, 6 * 2**30  # bytes: what a command may use, and at what it gets no more
SECONDS = 60  # of the processor; on a crowded machine a clock says little
# Imported once by the server; a command then starts in a few hundredths of a second.
PRELOADED = (
    *("pytest", "torch", "torchvision", "timm", "cv2", "scipy.optimize", "matplotlib.pyplot", "pycocotools.mask"),
    *("torch.utils.tensorboard", "detectron2.engine", "faster_coco_eval", "tqdm", "PIL.Image"),
    *(f"depthbox.cli.{name}" for name in ("main", "check", "eval", "label", "predict", "report", "train", "visualize")),
    *("depthbox.engine.trainer", "depthbox.labeling.job", "depthbox.inference.pipeline", "depthbox.reports.training"),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """End of a command.

    Attributes:
        status: exit status; negative for death by a signal.
        text: standard output and standard error.
        memory: largest resident size in bytes; 0 if the process died before it told.
    """

    status: int
    text: str
    memory: int


def start(folder: Path, words: Sequence[str], seconds: int = SECONDS) -> tuple[Any, Connection]:
    """Start a command in a folder; its output goes to ``.output`` there.

    Args:
        folder: working directory of the command.
        words: ``train_net.py`` or another file of tools/ and its arguments, or a command of ``depthbox`` with its own.
        seconds: limit of the processor time.

    Returns:
        The process, which leads its own process group, and the connection that tells its memory.
    """
    receiver, sender = _context().Pipe(duplex=False)
    process = _context().Process(target=_run, args=(folder, list(words), seconds, sender))
    process.start()
    sender.close()
    return process, receiver


def run(folder: Path, words: Sequence[str], seconds: int = SECONDS) -> Outcome:
    """Run a command to its end, see ``start``."""
    process, receiver = start(folder, words, seconds)
    process.join(10 * seconds)
    kill(process)
    with contextlib.suppress(EOFError):
        return Outcome(process.exitcode, read_output(folder), receiver.recv())
    return Outcome(process.exitcode, read_output(folder), 0)


def kill(process: Any) -> None:
    """Kill a process and all that it started, without a warning."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


def read_output(folder: Path) -> str:
    """Return what the command in a folder has printed."""
    path = folder / ".output"
    return path.read_text(errors="replace") if path.exists() else ""


@functools.cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    paths = [str(ROOT), str(ROOT / "tests" / "toys"), os.environ.get("PYTHONPATH", "")]
    settings = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        forkserver.ensure_running()
    return context


def _run(folder: Path, words: list[str], seconds: int, sender: Connection) -> None:
    os.setsid()
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
    os.dup2(os.open(".output", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    os.dup2(1, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    status: Any = 70
    try:
        status = _call(words)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 70
    if isinstance(status, str):
        print(status, file=sys.stderr)
    sender.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    sys.exit(status if isinstance(status, int) else int(status is not None))


def _call(words: list[str]) -> int:
    import torch

    torch.set_num_threads(1)
    if not words[0].endswith(".py"):
        from depthbox.cli.main import main

        return main(words)
    sys.argv = [str(ROOT / "tools" / words[0]), *words[1:]]
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0
