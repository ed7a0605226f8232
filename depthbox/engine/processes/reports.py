"""Reports of processes that ended, and the message of the one that is the cause."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

import torch.distributed as dist

from ...errors import MISTAKES, Stopped, UserError, describe_error

_CONNECTION = re.compile(r"connection (closed|reset|refused)|gloo|nccl|broken pipe|socket", re.IGNORECASE)


class RankError(UserError):
    """A process of a group that failed. The message names its rank, the cause and the remedy."""


@dataclass(frozen=True)
class GroupMember:
    """Place of a process in a group.

    Attributes:
        url: rendezvous of the group.
        rank: index among all processes.
        world_size: number of all processes.
        local_rank: index on this machine.
        local_world_size: number on this machine; None = all are here.
        device_type: "cuda" or "cpu".
    """

    url: str
    rank: int
    world_size: int
    local_rank: int
    local_world_size: int | None
    device_type: str


@dataclass(frozen=True)
class RankReport:
    """Reason for the end of a process.

    Attributes:
        rank: of the process.
        kind: "mistake" (of the user), "stopped" (by a signal), "lost" (the connection to other processes), "killed"
            (by a signal, without a message), or "bug".
        message: one line.
        details: traceback of a bug.
        number: of the signal.
        at: time, in seconds.
    """

    rank: int
    kind: str
    message: str
    details: str = ""
    number: int = 0
    at: float = 0.0


def make_report(error: BaseException, rank: int) -> RankReport:
    """Return the report of a process that an error ends."""
    now = time.time()
    if isinstance(error, KeyboardInterrupt):
        number = error.number if isinstance(error, Stopped) else int(signal.SIGINT)
        return RankReport(rank, "stopped", str(error), number=number, at=now)
    line = f"{type(error).__name__}: {describe_error(error)}"
    if _is_connection_error(error):
        return RankReport(rank, "lost", line, at=now)
    if isinstance(error, MISTAKES):
        return RankReport(rank, "mistake", describe_error(error), at=now)
    return RankReport(rank, "bug", line, "".join(traceback.format_exception(error)), at=now)


def _is_connection_error(error: BaseException) -> bool:
    """Return whether an error only says that another process of the group has ended."""
    kinds = tuple(kind for name in ("DistBackendError", "DistNetworkError") if (kind := getattr(dist, name, None)))
    return isinstance(error, kinds) or (
        isinstance(error, RuntimeError)
        and not isinstance(error, ValueError)
        and _CONNECTION.search(str(error)) is not None
    )


def print_report(report: RankReport, world_size: int) -> None:
    """Print the reason for the end of a process that has no launcher; a stop is printed by rank 0 alone."""
    if report.kind == "stopped":
        text = report.message if report.rank == 0 else ""
    else:
        text = f"{report.details}{format_cause(report, world_size)}"
    if text:
        print(f"{Path(sys.argv[0]).name}: {text}", file=sys.stderr)


def format_cause(report: RankReport, world_size: int) -> str:
    """Return one line: the rank, the cause, and the remedy."""
    name = f"rank {report.rank} of {world_size}"
    if report.kind == "mistake":
        return f"{name}: {report.message}"
    resume = "The same command with --resume continues from the newest checkpoint"
    if report.kind == "killed":
        return f"{name} {report.message}; the other processes were ended. {resume}"
    if report.kind == "lost":
        return f"{name} lost the connection to another process, which names the cause ({report.message}). {resume}"
    return f"{name} failed, its traceback is above: {report.message}. {resume}"


def report_path(folder: Path, member: GroupMember) -> Path:
    """Return the file of the report of a process."""
    return folder / f"rank{member.rank}.json"


def write_report(path: Path, report: RankReport) -> bool:
    """Write a report; return whether that succeeded."""
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_text(json.dumps(asdict(report)), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        return False
    return True


def read_report(path: Path) -> RankReport | None:
    """Read a report; None if the process wrote none."""
    try:
        return RankReport(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
