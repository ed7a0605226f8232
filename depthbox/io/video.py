"""Video files, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .images import RGBImage
from .media import MediaError


class VideoFile:
    """A video that is written frame by frame and appears under its name when it is closed without an error.

    Args:
        path: ends in .mp4 or .avi; missing folders are created.
        size: (height, width) of the frames.
        rate: frames per second; 0 = 25.

    Raises:
        MediaError: OpenCV cannot write a video of that name.
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
            raise MediaError(f"OpenCV cannot write the video {path}: choose a name that ends in .mp4 or .avi")

    def write(self, pixels: RGBImage) -> None:
        """Append a frame (H, W, 3) uint8, RGB.

        Raises:
            ValueError: the frame has another size than the video.
        """
        if pixels.shape[:2] != self.size:
            raise ValueError(f"{self.path}: a frame is {pixels.shape[:2]}, the video {self.size} (height, width)")
        self._writer.write(np.ascontiguousarray(pixels[:, :, ::-1]))

    def close(self, keep: bool = True) -> None:
        """Finish the file, or remove it if ``keep`` is False."""
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
