"""Folder of uploads: private to the user, locked while the server lives, and removed at its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PREFIX = "depthbox_app_"
_LOCK = ".lock"
_YOUNG = 60.0  # seconds; an empty folder of this age may belong to a server that is starting


@contextlib.contextmanager
def make_upload_folder() -> Iterator[Path]:
    """Create the folder of uploads for a block, and remove it at the end.

    Folders of servers that were killed are removed as well, see ``remove_stale_folders``.
    """
    remove_stale_folders()
    before = os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        os.environ["GRADIO_TEMP_DIR"] = name
        try:
            with _lock(Path(name)):
                yield Path(name)
        finally:
            os.environ.pop("GRADIO_TEMP_DIR")
            if before is not None:
                os.environ["GRADIO_TEMP_DIR"] = before


def remove_stale_folders(parent: str | os.PathLike[str] = "") -> list[Path]:
    """Remove the folders of uploads of servers that do not run any more.

    A running server holds a lock in its folder, which the operating system releases when the process ends. Folders of
    other users, links and folders without a lock file are kept; an empty one without a lock file is removed.

    Args:
        parent: the folder of temporary files; "" = that of this process.

    Returns:
        The removed folders.
    """
    found = sorted(Path(parent or tempfile.gettempdir()).glob(f"{PREFIX}*"))
    return [folder for folder in found if _is_own_folder(folder) and _remove_if_stale(folder)]


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with open(folder / f"{_LOCK}.new", "wb") as file:
        if not _try_lock(file):
            raise OSError(f"the folder {folder} is used by another process: set TMPDIR to another folder")
        os.replace(file.name, folder / _LOCK)  # the lock file is never there without being locked
        yield


def _try_lock(file: IO[bytes]) -> bool:
    """Lock a file until it is closed; False if another process holds it."""
    try:
        import fcntl
    except ImportError:  # Windows does not remove open files: the lock file itself protects the folder
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_own_folder(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())


def _remove_if_stale(folder: Path) -> bool:
    try:
        file = open(folder / _LOCK, "r+b")  # noqa: SIM115
    except FileNotFoundError:
        return _remove_if_empty(folder)
    except OSError:
        return False
    with file:
        if not _try_lock(file):
            return False
        shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _remove_if_empty(folder: Path) -> bool:
    try:
        if time.time() - folder.lstat().st_mtime < _YOUNG:
            return False
        folder.rmdir()
    except OSError:  # not empty, or removed by another process
        return False
    return True
