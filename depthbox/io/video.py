"""Video files, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .files import atomic_path
from .images import RGBImage
from .media import MediaError
from .write_errors import WriteError, find_exhaustion

_CHECK_EVERY = 50  # frames; OpenCV does not report that a frame was not written


class VideoFile:
    """A video that is written frame by frame and appears under its name when it is closed without an error.

    Args:
        path: ends in .mp4 or .avi; missing folders are created.
        size: (height, width) of the frames.
        rate: frames per second; 0 = 25.

    Raises:
        MediaError: OpenCV cannot write a video of that name.
        WriteError: the file cannot be written.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        import cv2

        self.path, self.size, self._count = path, size, 0
        self._stack = contextlib.ExitStack()
        self._temporary = self._stack.enter_context(atomic_path(path))
        code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix.lower() == ".avi" else "mp4v"))
        self._writer: Any = cv2.VideoWriter(str(self._temporary), code, rate or 25.0, (size[1], size[0]))
        if not self._writer.isOpened():
            try:
                self._require_disk()
                raise MediaError(f"OpenCV cannot write the video {path}: choose a name that ends in .mp4 or .avi")
            finally:
                self._remove()

    def write(self, pixels: RGBImage) -> None:
        """Append a frame (H, W, 3) uint8, RGB.

        Raises:
            ValueError: the frame has another size than the video.
            WriteError: the disk is full. This is found after some frames, at the latest by ``close``.
        """
        if pixels.shape[:2] != self.size:
            raise ValueError(f"{self.path}: a frame is {pixels.shape[:2]}, the video {self.size} (height, width)")
        self._writer.write(np.ascontiguousarray(pixels[:, :, ::-1]))
        self._count += 1
        if self._count % _CHECK_EVERY == 0:
            self._require_disk()

    def close(self, keep: bool = True) -> None:
        """Finish the file, or remove it if ``keep`` is False.

        Raises:
            WriteError: the file is not complete, for instance because the disk is full. It is removed.
        """
        self._writer.release()
        if not keep:
            self._remove()
            return
        try:
            frames = _count_readable(self._temporary)
            if frames < self._count:
                self._require_disk()
            if self._count and not frames:
                raise WriteError.from_error(self.path, OSError(errno.EIO, "OpenCV did not write a complete video"))
        except BaseException:
            self._remove()
            raise
        self._stack.close()  # renames the file

    def _require_disk(self) -> None:
        """Raise WriteError if the disk is full, or the file has reached the limit of sizes."""
        size = self._temporary.stat().st_size if self._temporary.exists() else 0
        number = find_exhaustion(self._temporary.parent, size)
        if number is not None:
            raise WriteError.from_error(self.path, OSError(number, os.strerror(number)), size)

    def _remove(self) -> None:
        """End without a file."""
        with contextlib.suppress(InterruptedError):
            self._stack.__exit__(InterruptedError, InterruptedError(), None)

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(keep=kind is None)


def _count_readable(path: Path) -> int:
    """Return the number of frames that the header of a video states, which is written last; 0 if it is damaged."""
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        readable = capture.isOpened() and capture.read()[0]
        return max(1, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))) if readable else 0
    finally:
        capture.release()
