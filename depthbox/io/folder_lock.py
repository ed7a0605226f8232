"""Locks of output folders: two programs never write one folder at the same time."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from .write_errors import explain_write_errors, make_folder

LOCK = ".lock"
_LONGEST_COMMAND = 200  # characters
_held: dict[Path, int] = {}  # lock files and descriptors of this process


class FolderInUseError(UserError):
    """A folder that another process writes. The message names the process, its host and its command."""


@contextlib.contextmanager
def lock_folder(folder: str | os.PathLike[str], purpose: str, output: str = "") -> Iterator[None]:
    """Hold the lock of an output folder, or of one output in it, while the block runs.

    The lock is that of the operating system (``flock``) on the file ``.lock``: it ends with its process, even if that
    is killed. The folder is created if it is missing; folders that were created here and are still empty at the end
    are removed. A folder that this process or its parent has locked is not locked again. On file systems without locks
    a warning is logged.

    Args:
        folder: the output folder.
        purpose: noun phrase for the message of other processes, such as "training run".
        output: name of a file or of another part of the folder that is locked alone; "" = the whole folder. The two
            kinds of locks do not exclude each other.

    Raises:
        FolderInUseError: another process holds the lock.
        WriteError: the folder or the lock file cannot be created.
    """
    folder = Path(folder).absolute()
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder)
    path = folder.resolve() / (f".{output[:_LONGEST_COMMAND]}{LOCK}" if output else LOCK)
    try:
        descriptor = None if path in _held else _acquire(path)
        if descriptor is None:
            yield
            return
        _held[path] = descriptor
        try:
            _note_holder(descriptor, purpose)
            yield
        finally:
            if _held.pop(path, None) is not None:  # a forked child does not hold it
                path.unlink(missing_ok=True)  # before the lock ends, so that no other process can hold this file
                os.close(descriptor)
    finally:
        for path in created:
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()


def _acquire(path: Path) -> int | None:
    """Return the descriptor of the locked file; None if the parent process holds it, or if locks are not supported."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    while True:
        with explain_write_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_current(path, descriptor):
                return descriptor
        except BlockingIOError:
            holder = _read_holder(descriptor)
            os.close(descriptor)
            if holder.get("pid") == os.getppid() and holder.get("host") == socket.gethostname():
                return None
            raise FolderInUseError(_format_holder(_find_subject(path), holder)) from None
        except OSError as error:
            logging.getLogger(__name__).warning(
                "%s cannot be locked (%s): do not start a second run in this folder", path.parent, error.strerror
            )
            path.unlink(missing_ok=True)
            os.close(descriptor)
            return None
        os.close(descriptor)  # the former holder removed the file meanwhile


def _find_subject(path: Path) -> Path:
    """Return the folder or output of a lock file."""
    return path.parent if path.name == LOCK else path.with_name(path.name.removeprefix(".").removesuffix(LOCK))


def _is_current(path: Path, descriptor: int) -> bool:
    """Return whether a descriptor is that of the file which has the name now."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _note_holder(descriptor: int, purpose: str) -> None:
    """Write who holds the lock; without free space the lock works as well."""
    command = shlex.join(sys.argv)
    if len(command) > _LONGEST_COMMAND:
        command = f"{command[:_LONGEST_COMMAND]}..."
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "purpose": purpose, "command": command}
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode() + b"\n", 0)


def _read_holder(descriptor: int) -> Mapping[str, Any]:
    """Read who holds a lock; {} if it is unknown."""
    for _ in range(10):  # the holder writes it just after it got the lock
        with contextlib.suppress(OSError, ValueError):
            holder = json.loads(os.pread(descriptor, 65536, 0))
            if isinstance(holder, dict):
                return holder
        time.sleep(0.05)
    return {}


def _format_holder(subject: Path, holder: Mapping[str, Any]) -> str:
    if not holder:
        return f"{subject} is in use by another process: wait for its end, or choose another output"
    pid = holder.get("pid")
    return (
        f"{subject} is in use by another {holder.get('purpose')}: process {pid} on {holder.get('host')} "
        f"({holder.get('command')}). Wait for its end, stop it with `kill {pid}`, or choose another output"
    )


def _forget_in_child() -> None:
    """Close the descriptors in a forked child, which would keep the locks after the end of this process."""
    for descriptor in _held.values():
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
