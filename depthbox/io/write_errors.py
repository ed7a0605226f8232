"""Errors of writing: the file, the cause, the bytes that are needed and free, and the remedy in one line."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
_BLOCK = 4096  # bytes that a file system allocates at once
_DENIED = (errno.EACCES, errno.EPERM)


class WriteError(OSError):
    """A file that cannot be written.

    Attributes:
        path: the file.
        errno: error number of the operating system, None if it is unknown.
    """

    def __init__(self, message: str, path: str = "", number: int | None = None) -> None:
        super().__init__(message)
        self.path, self.errno = path, number

    def __reduce__(self) -> tuple[type[WriteError], tuple[str, str, int | None]]:
        """Keep all attributes when a worker process sends the error."""
        return type(self), (str(self), self.path, self.errno)

    @classmethod
    def from_error(cls, path: str | os.PathLike[str], error: OSError, needed: int = 0) -> WriteError:
        """Describe an error of the operating system.

        Args:
            path: the file that was being written.
            error: the error.
            needed: bytes that the file takes at least; 0 = unknown.
        """
        if isinstance(error, WriteError):
            return error
        path = Path(path)
        cause = error.strerror or str(error) or type(error).__name__
        facts, remedy = _explain(path, error, needed)
        message = f"{path} cannot be written: {cause}{f' ({facts})' if facts else ''}; {remedy}"
        return cls(message, str(path), error.errno)


@contextlib.contextmanager
def explain_write_errors(path: str | os.PathLike[str], needed: int = 0) -> Iterator[None]:
    """Turn each OSError of a block that only writes into a ``WriteError`` that names the file.

    Args:
        path: the file or folder that the block writes.
        needed: bytes that it takes at least; 0 = unknown.
    """
    try:
        yield
    except BrokenPipeError:  # the reader of a pipe has ended, as in `... | head`
        raise
    except OSError as error:
        raise WriteError.from_error(path, error, needed) from error


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """Create a folder and its parents, if they are missing.

    Raises:
        WriteError: it cannot be created, for instance because a file has its name.
    """
    with explain_write_errors(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def require_writable(path: str | os.PathLike[str]) -> None:
    """Check that a file can be written, before a long computation. Nothing is created or changed.

    Raises:
        WriteError: a folder has its name, a file has the name of its folder, the name is too long, or the user may not
            write there.
    """
    path = Path(path)
    with explain_write_errors(path):
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(path.stat().st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = _find_existing(path)
        if not os.access(folder, os.W_OK | os.X_OK):
            number = errno.EROFS if _is_read_only(folder) else errno.EACCES
            raise OSError(number, os.strerror(number))


def describe_shortage(folder: str | os.PathLike[str], needed: float) -> str:
    """Return a line if the disk of a folder probably has less space than a job will take; "" otherwise.

    Args:
        folder: the output; it need not exist.
        needed: estimated bytes.
    """
    free = _find_free(Path(folder))
    if free is None or free >= needed:
        return ""
    return (
        f"about {format_bytes(needed)} will be written to {folder}, but only {format_bytes(free)} are free: free space "
        "there, or choose another output"
    )


def find_exhaustion(folder: str | os.PathLike[str], size: int) -> int | None:
    """Return the error number of a full disk or of the limit of file sizes, None if both have space.

    This is for libraries that do not report failed writes.

    Args:
        folder: folder of the file.
        size: bytes of the file so far.
    """
    free, limit = _find_free(Path(folder)), _find_limit()
    if free is not None and free < _BLOCK:
        return errno.ENOSPC
    return errno.EFBIG if limit is not None and size > limit - _BLOCK else None


def format_bytes(number: float) -> str:
    """Return a size with a decimal unit, such as "4.1 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} bytes" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _explain(path: Path, error: OSError, needed: int) -> tuple[str, str]:
    """Return facts in parentheses and the remedy."""
    if error.errno in _FULL:
        facts = [f"it needs at least {format_bytes(needed)}"] * bool(needed)
        if (free := _find_free(path.parent)) is not None:
            facts.append(f"{format_bytes(free)} are free in {path.parent}")
        return ", ".join(facts), "free space there, or choose another output"
    if error.errno == errno.EFBIG:
        facts = [f"it needs at least {format_bytes(needed)}"] * bool(needed) + _describe_limit()
        return ", ".join(facts), "raise the limit (ulimit -f), or choose another output"
    if error.errno in _DENIED:
        return "", f"correct the permissions of {_find_existing(path)}, or choose another output"
    if error.errno == errno.EROFS:
        return "", "the disk may only be read: choose another output"
    if isinstance(error, IsADirectoryError):
        return "", "choose another name"
    blocking = next((place for place in (path, *path.parents) if os.path.isfile(place)), None)
    if blocking is not None and isinstance(error, NotADirectoryError | FileExistsError):
        return "", f"{blocking} is a file, not a folder: choose another output"
    if error.errno == errno.ENAMETOOLONG:
        return "", "choose a shorter name"
    return "", "choose another output"


def _describe_limit() -> list[str]:
    limit = _find_limit()
    return [] if limit is None else [f"files are limited to {format_bytes(limit)}"]


def _find_limit() -> int | None:
    """Return the largest size of files in bytes; None if they are not limited."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _is_read_only(folder: Path) -> bool:
    read_only = getattr(os, "ST_RDONLY", 0)
    return bool(read_only) and bool(os.statvfs(folder).f_flag & read_only)


def _find_existing(path: Path) -> Path:
    """Return the nearest parent folder that exists."""
    return next((parent for parent in path.parents if os.path.isdir(parent)), Path("."))


def _find_free(folder: Path) -> int | None:
    """Return the bytes that this user may still write to the disk of a folder; None if they are unknown."""
    folder = folder if os.path.isdir(folder) else _find_existing(folder)
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
