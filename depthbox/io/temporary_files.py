"""Names of temporary files, by which those of dead processes are recognized and removed."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

_LONGEST = 255  # bytes of a file name
_FOREIGN_AGE = 24 * 3600.0  # seconds without a change, after which a file of another machine is not being written
_TOLERANCE = 2.0  # seconds between the clocks of files and of processes
# .NAME.PID-HOST RANDOM.tmp, with the suffix of NAME for libraries that choose a format by it. Earlier versions wrote
# 32 hexadecimal digits without a process.
_NAME = re.compile(r"\..+\.(?:(?P<pid>\d+)-(?P<host>[0-9a-f]{8})[0-9a-f]{8}|[0-9a-f]{32})\.tmp(?:\.\w+)?", re.DOTALL)

_claimed: set[Path] = set()


def claim_temporary(path: Path, keep_suffix: bool = False) -> Path:
    """Choose a new temporary name in the folder of a file: ``.NAME.PID-HEX.tmp``.

    The hexadecimal digits are 8 of the host and 8 random ones. A name that would be too long is shortened.

    Args:
        path: the file that the temporary one will replace.
        keep_suffix: append the suffix of the file, by which libraries choose a format.
    """
    tail = f".{os.getpid()}-{_hash_host()}{uuid.uuid4().hex[:8]}.tmp"
    suffix = path.suffix if keep_suffix and re.fullmatch(r"\.\w+", path.suffix) else ""
    available = _LONGEST - len(os.fsencode(f".{tail}{suffix}"))
    name = os.fsdecode(os.fsencode(path.name.removesuffix(suffix))[:available])
    temporary = (path.parent / f".{name}{tail}{suffix}").absolute()
    _claimed.add(temporary)
    return temporary


def release_temporary(temporary: Path) -> None:
    """Forget a temporary name, when its file was renamed or removed."""
    _claimed.discard(temporary)


def remove_stale(folder: str | os.PathLike[str], recursive: bool = False) -> list[Path]:
    """Delete the temporary files that dead processes left in a folder.

    Files of processes of this machine are deleted if the process has ended, or if a later process has its number. Files
    of other machines that share the folder are deleted when they have not changed for a day.

    Args:
        folder: a folder; [] is returned if it does not exist.
        recursive: include all subfolders. Links to folders are not followed.

    Returns:
        The deleted files.
    """
    removed = []
    for path in list(_iterate_temporary(Path(folder), recursive)):
        with contextlib.suppress(OSError):  # another process may remove it at the same time
            if _is_stale(path):
                path.unlink()
                removed.append(path)
    return removed


def _iterate_temporary(folder: Path, recursive: bool) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        if not recursive:
            folders.clear()
        yield from (Path(root, name) for name in names if _NAME.fullmatch(name))


def _is_stale(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    if match is None or path.is_symlink():
        return False
    age = time.time() - path.stat().st_mtime
    if match["host"] != _hash_host():
        return age > _FOREIGN_AGE
    pid = int(match["pid"])
    if pid == os.getpid():
        return path.absolute() not in _claimed
    running = _process_age(pid)
    return running is None or age > running + _TOLERANCE


def _hash_host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _process_age(pid: int) -> float | None:
    """Return the seconds since the start of a process, infinity if they are unknown; None if it has ended."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except OSError:  # a process of another user
        pass
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        if fields[0] in (b"Z", b"X"):
            return None
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):  # without /proc
        return float("inf")
