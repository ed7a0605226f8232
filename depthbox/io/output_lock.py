"""Lock of an output: a second process that would write it is refused."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from .write_errors import explain_write_errors, make_folder

# Descriptors of the locks of this process. A forked process closes its copies, or it would prolong the locks.
_held: set[int] = set()
_UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class OutputInUseError(ValueError):
    """An output that another process writes. The message names the process."""


@contextlib.contextmanager
def lock_output(path: str | os.PathLike[str], file: str = "") -> Iterator[None]:
    """Lock an output file or folder for this process while the block runs.

    The lock is one of the operating system on a hidden file, so a process that dies does not leave it locked. The file
    is removed at the end. Without support by the system or the file system nothing is locked.

    Args:
        path: the output. Missing folders are created.
        file: name of the lock file in ``path``, which is a folder; "" = ``.NAME.lock`` beside ``path``.

    Raises:
        OutputInUseError: another process holds the lock.
        WriteError: the folder of the output cannot be written.
    """
    path = Path(path)
    lock = path / file if file else path.with_name(f".{path.name[:200]}.lock")
    make_folder(lock.parent)
    descriptor = _acquire(lock, path)
    try:
        yield
    finally:
        if descriptor is not None and descriptor in _held:
            _held.discard(descriptor)
            with contextlib.suppress(OSError):
                lock.unlink(missing_ok=True)  # before the lock is released: nobody may remove the file of another
            os.close(descriptor)


def _acquire(lock: Path, path: Path) -> int | None:
    """Return the descriptor that holds the lock; None if locks are not supported."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    while True:
        with explain_write_errors(path):
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _describe_holder(descriptor)
            os.close(descriptor)
            raise OutputInUseError(
                f"{path} is being written by another process{holder}: wait for it or stop it, or choose another output"
            ) from error
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _UNSUPPORTED:
                raise
            return None
        if _is_current(descriptor, lock):
            _note_holder(descriptor)
            _held.add(descriptor)
            return descriptor
        os.close(descriptor)  # the previous holder removed the file after it was opened here


def _is_current(descriptor: int, lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(lock))
    except FileNotFoundError:
        return False


def _note_holder(descriptor: int) -> None:
    """Write the number, machine and command of this process into the lock file, for messages."""
    command = shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])[:500]
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "command": command})
    with contextlib.suppress(OSError):  # a full disk is reported by the output itself
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def _close_copies() -> None:
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_copies)


def _describe_holder(descriptor: int) -> str:
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
        return f" (process {int(note['pid'])} on {note['host']}: {note['command']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
