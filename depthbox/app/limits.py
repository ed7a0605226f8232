"""Limits of the page: sizes, counts and times beyond which a request is refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of one server.

    Attributes:
        upload_bytes: size of an uploaded file.
        pixels: pixels of an image, read from its header.
        boxes: drawn and pasted boxes of an image.
        text: characters of the pasted text.
        body_bytes: size of a request that is not an upload.
        seconds: time of one computation, checked after each box.
        waiting: requests that wait for a computation.
        disk_bytes: size of all stored uploads.
        download_bytes: size of all results that can be downloaded; they are kept in memory.
        idle_seconds: time without use after which an upload is removed, at the next use of another one.
        receiving: uploads that are received at the same time.
        receive_seconds: time in which a request must be received.
        sessions: tabs of browsers whose state is kept; the least recently used one is removed.
        connections: open connections of the server.
    """

    upload_bytes: int = 50_000_000
    pixels: int = 25_000_000
    boxes: int = 300
    text: int = 1_000_000
    body_bytes: int = 4_000_000
    seconds: float = 60
    waiting: int = 32
    disk_bytes: int = 1_000_000_000
    download_bytes: int = 200_000_000
    idle_seconds: float = 3600
    receiving: int = 8
    receive_seconds: float = 120
    sessions: int = 256
    connections: int = 256


def format_bytes(size: int) -> str:
    """Return a size in MB, rounded to a tenth: ``50 MB``."""
    return f"{round(size / 1e6, 1):g} MB"
