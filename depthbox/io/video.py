"""Videos that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .media import MediaError


class VideoFile:
    """Writes pictures into a video that appears under its name when it is closed without an error.

    Args:
        path: ends in .mp4 or .avi; missing folders are made.
        size: (height, width) of the pictures.
        rate: pictures a second.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        import cv2

        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.size = path, size
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
        code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix.lower() == ".avi" else "mp4v"))
        self._writer: Any = cv2.VideoWriter(str(self._temporary), code, rate or 25.0, (size[1], size[0]))
        if not self._writer.isOpened():
            self._temporary.unlink(missing_ok=True)
            raise MediaError(f"OpenCV cannot write the video {path}: end its name in .mp4 or .avi")

    def write(self, pixels: NDArray[np.uint8]) -> None:
        """Append a picture (H, W, 3) uint8, RGB, of the video's size."""
        if pixels.shape[:2] != self.size:
            raise ValueError(f"{self.path}: a picture is {pixels.shape[:2]}, the video {self.size}")
        self._writer.write(np.ascontiguousarray(pixels[:, :, ::-1]))

    def close(self, keep: bool = True) -> None:
        """Finish the file, or, where it is not to be kept, remove what was written."""
        self._writer.release()
        if keep:
            os.replace(self._temporary, self.path)
        else:
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(keep=kind is None)
