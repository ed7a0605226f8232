"""Uploaded images and results for download, each bound to the browser that made it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ..errors import printable
from .limits import Limits

# References name an upload in requests. They are random, so that they cannot be guessed, and are not paths.
REFERENCE = re.compile(r"depthbox_app_[0-9a-f]{32}")
DOWNLOAD = re.compile(r"[0-9a-f]{32}")
_LONGEST_NAME = 200


class UploadError(ValueError):
    """An upload that does not exist, belongs to another browser or is not accepted. The message is for the user."""


@dataclass
class Upload:
    """A stored image.

    Attributes:
        reference: random id of the upload, see ``REFERENCE``.
        path: file in the folder of uploads.
        name: name of the file on the user's computer, without folders and control characters.
        size: size of the file in bytes.
        owner: id of the browser; "" = a client without cookies.
        session: tab of the browser that used the upload first; "" = not used yet.
        used: time of the last use, of ``time.monotonic``.
    """

    reference: str
    path: Path
    name: str
    size: int
    owner: str
    session: str = ""
    used: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Download:
    """A file that its owner may download."""

    token: str
    name: str
    content: bytes
    owner: str


class UploadStore:
    """Images in the folder of uploads. All methods may be called from several threads.

    Args:
        folder: folder of uploads, see ``folder.make_upload_folder``.
        limits: limits of the disk space and of the time without use.
    """

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.folder, self.limits = folder.resolve(), limits or Limits()
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def add(self, content: BinaryIO, name: str, owner: str) -> Upload:
        """Store a file.

        Args:
            content: opened for reading at the start.
            name: name on the user's computer.
            owner: id of the browser.

        Raises:
            UploadError: the uploads of all users need too much space.
            OSError: the file cannot be written.
        """
        size = content.seek(0, os.SEEK_END)
        content.seek(0)
        upload = self._reserve(size, name, owner)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
            with open(os.open(upload.path, flags, 0o600), "wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
        except BaseException:
            self.remove(upload.reference)
            raise
        return upload

    def claim(self, reference: str, owner: str, session: str) -> None:
        """Bind an upload to the tab of its browser that uses it first.

        Raises:
            UploadError: the upload does not exist or belongs to another browser or tab.
        """
        with self._lock:
            upload = self._uploads.get(reference)
            if upload is None or upload.owner != owner or upload.session not in ("", session):
                raise UploadError("the image was not uploaded by this page: upload it again")
            upload.session = session

    def open(self, reference: str) -> Upload:
        """Find an upload whose file is a regular file in the folder of uploads, and note its use.

        Raises:
            UploadError: the upload does not exist any more, or something else has taken its place.
        """
        with self._lock:
            self._remove_idle()
            upload = self._uploads.get(reference)
            if upload is None or not _is_own_file(upload.path, self.folder):
                raise UploadError("the image is not stored any more: upload it again")
            upload.used = time.monotonic()
            return upload

    def remove(self, reference: str) -> None:
        """Remove an upload and its file."""
        with self._lock:
            self._remove(reference)

    def _reserve(self, size: int, name: str, owner: str) -> Upload:
        with self._lock:
            self._remove_idle()
            if sum(u.size for u in self._uploads.values()) + size > self.limits.disk_bytes:
                raise UploadError("the server has no space for more images: try again later")
            reference = f"depthbox_app_{secrets.token_hex(16)}"
            upload = Upload(reference, self.folder / secrets.token_hex(16), clean_name(name), size, owner)
            self._uploads[reference] = upload
            return upload

    def _remove_idle(self) -> None:
        end = time.monotonic() - self.limits.idle_seconds
        for reference in [u.reference for u in self._uploads.values() if u.used < end]:
            self._remove(reference)

    def _remove(self, reference: str) -> None:
        upload = self._uploads.pop(reference, None)
        if upload is not None:
            upload.path.unlink(missing_ok=True)


class DownloadStore:
    """Results that can be downloaded, in memory: one per upload, the oldest ones are removed.

    Args:
        limit: bytes of all results.
    """

    def __init__(self, limit: int = Limits.download_bytes) -> None:
        self.limit = limit
        self._downloads: dict[str, Download] = {}
        self._lock = threading.Lock()

    def put(self, reference: str, name: str, content: bytes, owner: str) -> Download:
        """Keep a file in place of the earlier one of the same upload."""
        download = Download(secrets.token_hex(16), name, content, owner)
        with self._lock:
            self._downloads.pop(reference, None)
            self._downloads[reference] = download
            while len(self._downloads) > 1 and sum(len(d.content) for d in self._downloads.values()) > self.limit:
                del self._downloads[next(iter(self._downloads))]
        return download

    def find(self, token: str, owner: str) -> Download | None:
        """Find a file by its token; None if it does not exist or belongs to another browser."""
        with self._lock:
            found = (d for d in self._downloads.values() if secrets.compare_digest(d.token, token))
            return next((d for d in found if d.owner == owner), None)


def clean_name(name: str) -> str:
    """Return a file name without folders and control characters, at most 200 characters; "image" if none is left."""
    last = re.split(r"[\\/]", printable(name.replace("\0", "")))[-1].strip()
    return last[-_LONGEST_NAME:] or "image"


def _is_own_file(path: Path, folder: Path) -> bool:
    """Return whether a path is a regular file directly in a folder, and not a link."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and path.resolve().parent == folder
