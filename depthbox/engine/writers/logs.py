"""Logging of a run: messages to the console, and all of them to log.txt once the run is accepted."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import sys
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.utils import comm

from ...errors import PrintableFilter
from ...io.files import WriteError
from .append import AppendedFile

LOGGED = ("depthbox", "detectron2", "fvcore")


def setup_logging(rank: int = 0) -> None:
    """Log DepthBox's and Detectron2's messages to the console, and hold all of them for ``open_log``.

    A second call replaces the handlers of the first one.

    Args:
        rank: rank of this process; only rank 0 writes to the console.
    """
    handlers: list[logging.Handler] = [_HeldRecords()]
    if rank == 0:
        console = _ConsoleHandler(sys.stdout)
        console.setLevel(logging.INFO)
        console.setFormatter(_ConsoleFormatter(sys.stdout.isatty()))
        handlers.append(console)
    train_loop = logging.getLogger("detectron2.engine.train_loop")
    if not any(isinstance(known, _QuietErrors) for known in train_loop.filters):
        train_loop.addFilter(_QuietErrors())
    for name in LOGGED:
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        for old in list(logger.handlers):
            logger.removeHandler(old)
            old.close()
        for handler in handlers:
            logger.addHandler(handler)
    for handler in handlers:
        handler.addFilter(PrintableFilter())


def open_log(cfg: CfgNode) -> None:
    """Write the held messages and all later ones to OUTPUT_DIR/log.txt (``log.txt.rank<n>`` on other processes).

    Raises:
        WriteError: the file cannot be written.
    """
    rank, folder = comm.get_rank(), Path(cfg.OUTPUT_DIR)
    file = _LogFile(folder / ("log.txt" if rank == 0 else f"log.txt.rank{rank}"))
    file.setFormatter(logging.Formatter("[%(asctime)s] %(name)s %(levelname)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
    file.addFilter(PrintableFilter())
    held: list[_HeldRecords] = []
    for name in LOGGED:
        logger = logging.getLogger(name)
        held += [handler for handler in logger.handlers if isinstance(handler, _HeldRecords) and handler not in held]
        logger.addHandler(file)
    for handler in held:
        handler.setTarget(file)
        handler.close()  # hands the records over
        for name in LOGGED:
            logging.getLogger(name).removeHandler(handler)
    raise_log_failure()


def raise_log_failure() -> None:
    """Raise the first error of writing log.txt: logging itself must not raise it in the middle of other work.

    Raises:
        WriteError: log.txt could not be written.
    """
    for handler in logging.getLogger(LOGGED[0]).handlers:
        if isinstance(handler, _LogFile) and handler.failure is not None:
            raise handler.failure


class _LogFile(logging.Handler):
    """Handler that appends whole lines to a file; after an error of writing it is silent."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = AppendedFile(path)
        self.failure: WriteError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.failure is not None:
            return
        try:
            self._file.append(self.format(record).encode("utf-8", "backslashreplace") + b"\n")
        except WriteError as error:
            self.failure = error
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self._file.close()
        super().close()


class _ConsoleHandler(logging.StreamHandler):
    """Handler of the console; a terminal or pipe that was closed does not stop training."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)
            return
        with contextlib.suppress(OSError, ValueError, AttributeError):  # so that no later flush fails
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


class _QuietErrors(logging.Filter):
    """Filter that keeps tracebacks of Detectron2's loop for log.txt: the caller shows the error."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info:
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return True


class _HeldRecords(logging.handlers.MemoryHandler):
    """Handler that keeps all records in memory until it has a target."""

    def __init__(self) -> None:
        super().__init__(capacity=sys.maxsize, flushLevel=sys.maxsize)


class _ConsoleFormatter(logging.Formatter):
    """Formatter of ``12:34:56 message``, with the level of warnings and errors, colored on a terminal."""

    def __init__(self, color: bool) -> None:
        super().__init__("%(message)s", "%H:%M:%S")
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        time = self.formatTime(record, self.datefmt)
        if record.levelno < logging.WARNING:
            return f"{time} {text}"
        level = f"\033[1;31m{record.levelname}\033[0m" if self._color else record.levelname
        return f"{time} {level} {text}"
