"""Atomic writing of files, with errors that name the file, the cause and the remedy."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from .temporary_files import claim_temporary, release_temporary, remove_stale
from .write_errors import WriteError, explain_write_errors, make_folder

__all__ = [
    "WriteError",
    "atomic_open",
    "atomic_path",
    "explain_write_errors",
    "make_folder",
    "open_scratch",
    "remove_stale",
    "sync_path",
]


@contextlib.contextmanager
def atomic_open(path: str | os.PathLike[str], tidy: bool = False) -> Iterator[IO[bytes]]:
    """Open a file for writing bytes that appears under its name only when it is complete and on disk.

    The bytes go to a temporary file in the same folder, which is created if missing. When the block ends, the file is
    flushed, synced and renamed. If the block raises, the temporary file is removed and an older file of that name is
    kept. A device or pipe, such as /dev/null, is written directly.

    Args:
        path: the final name.
        tidy: first remove the temporary files that dead processes left in the folder, see ``remove_stale``. This lists
            the folder: writers of many files call ``remove_stale`` once instead.

    Yields:
        A binary file object without a file descriptor: libraries write through ``write``, so that no error is lost.

    Raises:
        WriteError: the file cannot be written. It replaces the exception of a library that failed because of it.
    """
    path = Path(path)
    if _is_special(path):
        with _open_checked(path, path, "wb") as file:
            yield file
        return
    if tidy:
        remove_stale(path.parent)
    with _replace(path, claim_temporary(path)) as temporary, _open_checked(temporary, path, "xb") as file:
        yield file


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Provide a temporary path for a library that writes files by name; the file is renamed when the block ends.

    Args:
        path: the final name. The temporary path has the same suffix. Missing folders are created.

    Yields:
        The temporary path; the block must create the file.

    Raises:
        WriteError: the file cannot be written.
    """
    path = Path(path)
    with _replace(path, claim_temporary(path, keep_suffix=True)) as temporary:
        yield temporary
        with explain_write_errors(path):
            sync_path(temporary)


@contextlib.contextmanager
def open_scratch(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open an unnamed temporary file on the disk of a file that is being written; it vanishes with the process.

    Args:
        path: the file, which errors name. Its folder exists.

    Raises:
        WriteError: the disk is full.
    """
    with explain_write_errors(path):
        raw = tempfile.TemporaryFile(dir=Path(path).parent)  # noqa: SIM115 (closed by _check_writing)
    with _check_writing(raw, Path(path), sync=False) as file:
        yield file


@contextlib.contextmanager
def _replace(path: Path, temporary: Path) -> Iterator[Path]:
    """Rename a temporary file when the block ends, or remove it if the block raises."""
    try:
        make_folder(path.parent)
        with explain_write_errors(path):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        yield temporary
        with explain_write_errors(path):
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        release_temporary(temporary)


class _CheckedFile(io.BufferedIOBase):
    """A file object that remembers the first error of writing, which libraries tend to replace by their own.

    It has no file descriptor on purpose: Pillow and NumPy would write to it directly and lose the error number.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._wrapped = file
        self._position = 0
        self.failure: OSError | None = None
        self.needed = 0  # bytes

    def write(self, data: Any) -> int:
        self._position += memoryview(data).nbytes
        self.needed = max(self.needed, self._position)
        with self._remember():
            return self._wrapped.write(data)

    def read(self, size: int | None = -1) -> bytes:
        return self._wrapped.read(-1 if size is None else size)

    def flush(self) -> None:
        with self._remember():
            self._wrapped.flush()

    def seek(self, offset: int, whence: int = 0) -> int:
        with self._remember():
            self._position = self._wrapped.seek(offset, whence)
            return self._position

    def truncate(self, size: int | None = None) -> int:
        with self._remember():
            return self._wrapped.truncate(size)

    def tell(self) -> int:
        return self._wrapped.tell()

    def seekable(self) -> bool:
        return self._wrapped.seekable()

    def writable(self) -> bool:
        return True

    def finish(self, sync: bool) -> None:
        """Write all bytes to disk and close the file; some file systems report a full disk only now."""
        self.flush()
        with self._remember():
            if sync:
                os.fsync(self._wrapped.fileno())
            self._wrapped.close()

    @contextlib.contextmanager
    def _remember(self) -> Iterator[None]:
        if self.failure is not None:
            raise self.failure
        try:
            yield
        except OSError as error:
            self.failure = error
            raise


@contextlib.contextmanager
def _open_checked(target: Path, path: Path, mode: str) -> Iterator[IO[bytes]]:
    """Open ``target`` for writing; errors are those of ``path``."""
    with explain_write_errors(path):
        raw = cast("IO[bytes]", open(target, mode))  # noqa: SIM115 (closed by _check_writing)
    with _check_writing(raw, path, sync=mode == "xb") as file:
        yield file


@contextlib.contextmanager
def _check_writing(raw: IO[bytes], path: Path, sync: bool) -> Iterator[IO[bytes]]:
    """Wrap an open file in a ``_CheckedFile`` and close it when the block ends; errors are those of ``path``."""
    checked = _CheckedFile(raw)
    try:
        yield cast("IO[bytes]", checked)
        checked.finish(sync)
    except BrokenPipeError:
        raise
    except Exception as error:
        if checked.failure is None:
            raise
        raise WriteError.from_error(path, checked.failure, checked.needed) from error
    finally:
        with contextlib.suppress(OSError):  # closing flushes once more
            raw.close()


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def sync_path(path: Path) -> None:
    """Flush a file, or the renames in a folder, to disk: they then survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
