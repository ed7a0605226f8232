"""Images, videos and cameras as a stream of frames."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from .folders import is_hidden, list_files
from .images import IMAGE_SUFFIXES, ImageError, RGBImage, read_image

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts"})


class MediaError(OSError):
    """An image, video or camera that cannot be read or written. The message names it."""


@dataclass(frozen=True)
class MediaSource:
    """An image file, a video file or a camera.

    Attributes:
        kind: "image", "video" or "camera".
        path: the file, or the number of the camera.
        name: unique short name for results: the path relative to the folder named by the user.
    """

    kind: str
    path: str
    name: str


@dataclass(frozen=True, eq=False)
class MediaFrame:
    """An image, or a frame of a video or camera.

    Attributes:
        source: its source.
        index: number within the source, from 0.
        pixels: (H, W, 3) uint8, RGB, upright by the EXIF orientation.
        rate: frames per second of a video or camera; 0 for an image.
    """

    source: MediaSource
    index: int
    pixels: RGBImage
    rate: float = 0.0

    @property
    def name(self) -> str:
        """Name for results: the name of the source, with the frame number for videos and cameras."""
        return self.source.name if self.source.kind == "image" else f"{self.source.name}#{self.index:06d}"


def find_sources(inputs: Sequence[str]) -> list[MediaSource]:
    """Find the sources that the arguments of a command line name.

    Args:
        inputs: at least one file, folder (searched recursively), glob pattern or camera number. Hidden files and files
            of other kinds in folders and patterns are left out.

    Returns:
        Sources in the order of the inputs; the files of a folder or pattern are sorted. Each file occurs once.

    Raises:
        FileNotFoundError: a file or folder does not exist, or no file matches a pattern.
        ValueError: no input, a file of another kind, or a folder without images and videos.
    """
    if not inputs:
        raise ValueError("no input: name images, videos, folders, patterns such as 'photos/*.jpg', or a camera number")
    found: dict[str, MediaSource] = {}
    for text in inputs:
        for source in _find_sources_of(text):
            found.setdefault(f"{source.kind} {os.path.realpath(source.path)}", source)
    return _make_names_unique(list(found.values()))


def read_frames(source: MediaSource, on_error: Callable[[MediaError], None] | None = None) -> Iterator[MediaFrame]:
    """Read the frames of a source one by one. No frame is kept.

    Args:
        source: from ``find_sources``.
        on_error: receives the error if the source cannot be read, which ends the iteration; None = raise it.

    Raises:
        MediaError: the source cannot be read.
    """
    reader = _read_image_source if source.kind == "image" else _read_video
    try:
        yield from reader(source)
    except MediaError as error:
        if on_error is None:
            raise
        on_error(error)


def iterate_batches(frames: Iterator[MediaFrame], size: int) -> Iterator[list[MediaFrame]]:
    """Group frames into lists of at most ``size``. A list is emptied before the next one is read.

    Raises:
        ValueError: ``size`` is below 1.
    """
    if size < 1:
        raise ValueError(f"the batch size must be 1 or more, not {size}")
    while batch := list(islice(frames, size)):
        yield batch
        batch.clear()


def count_frames(source: MediaSource) -> int | None:
    """Return the number of frames that the header of a source states; None if it is not known."""
    if source.kind == "image":
        return 1
    if source.kind == "camera":
        return None
    import cv2

    capture = cv2.VideoCapture(source.path)
    try:
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    finally:
        capture.release()
    return count if count > 0 else None


def _find_sources_of(text: str) -> list[MediaSource]:
    path = Path(text).expanduser()
    if path.is_dir():
        names = [name for name in list_files(path) if _classify(Path(name)) and not is_hidden(name)]
        if not names:
            raise ValueError(f"the folder {text} contains no images and no videos ({_list_suffixes()})")
        return [_make_source(path / name, name) for name in names]
    if path.is_file():
        if not _classify(path):
            raise ValueError(f"{text} has no suffix of an image or a video; known suffixes: {_list_suffixes()}")
        return [_make_source(path, path.name)]
    if text.isdecimal():
        return [MediaSource("camera", text, f"camera{text}")]
    if glob.has_magic(text):
        return _find_pattern(text, path)
    raise FileNotFoundError(f"the file or folder {text} does not exist")


def _find_pattern(text: str, path: Path) -> list[MediaSource]:
    files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
    files = [file for file in files if _classify(file) and file.is_file() and not is_hidden(file.name)]
    if not files:
        raise FileNotFoundError(f"no image or video matches the pattern {text}")
    # The folder that all files share is left out; the rest distinguishes equal names of several folders.
    common = os.path.commonpath([file.parent for file in files])
    return [_make_source(file, os.path.relpath(file, common)) for file in files]


def _make_names_unique(sources: list[MediaSource]) -> list[MediaSource]:
    """Append a number to names that occur more than once, such as 1.jpg of two folders."""
    taken: set[str] = set()
    result = []
    for source in sources:
        path, number = Path(source.name), 1
        name = source.name
        while name in taken:
            number += 1
            name = path.with_name(f"{path.stem}_{number}{path.suffix}").as_posix()
        taken.add(name)
        result.append(replace(source, name=name))
    return result


def _make_source(path: Path, name: str) -> MediaSource:
    return MediaSource(_classify(path), str(path), Path(name).as_posix())


def _classify(path: Path) -> str:
    """Return "image" or "video" by the suffix of a file; "" for other files."""
    suffix = path.suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else ""


def _list_suffixes() -> str:
    return " ".join([*sorted(IMAGE_SUFFIXES), *sorted(VIDEO_SUFFIXES)])


def _read_image_source(source: MediaSource) -> Iterator[MediaFrame]:
    try:
        pixels = read_image(source.path)
    except ImageError as error:
        raise MediaError(str(error)) from error
    yield MediaFrame(source, 0, pixels)


def _read_video(source: MediaSource) -> Iterator[MediaFrame]:
    import cv2

    capture = cv2.VideoCapture(int(source.path) if source.kind == "camera" else source.path)
    try:
        if not capture.isOpened():
            remedy = "connect a camera that no other program uses" if source.kind == "camera" else "copy the file again"
            raise MediaError(f"the {source.kind} {source.path} cannot be opened: {remedy}")
        rate = float(capture.get(cv2.CAP_PROP_FPS) or 0.0)
        index = 0
        while True:
            good, pixels = capture.read()
            if not good:
                break
            yield MediaFrame(source, index, np.ascontiguousarray(pixels[:, :, ::-1]), rate)
            index += 1
        if index == 0:
            raise MediaError(f"the {source.kind} {source.path} delivers no frame")
    finally:
        capture.release()
