"""Pictures from anywhere, one after the other: image files, folders, patterns, videos, cameras."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from detectron2.data import detection_utils
from numpy.typing import NDArray

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts"})


class MediaError(OSError):
    """An image, video or camera that cannot be read or written; the message names it."""


@dataclass(frozen=True)
class Source:
    """Where pictures come from.

    Attributes:
        kind: "image", "video" or "camera".
        path: the file, or the number of the camera.
        name: short name for results: the path relative to the folder that was named; no two sources share one.
    """

    kind: str
    path: str
    name: str


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture.

    Attributes:
        source: where it comes from.
        index: its number in the source, from 0.
        pixels: (H, W, 3) uint8, RGB; rotation in the EXIF data is applied.
        rate: pictures a second of a video or camera; 0 for an image.
    """

    source: Source
    index: int
    pixels: NDArray[np.uint8]
    rate: float = 0.0

    @property
    def name(self) -> str:
        """Name for results: that of the file, in videos with the number of the frame."""
        return self.source.name if self.source.kind == "image" else f"{self.source.name}#{self.index:06d}"


def find_sources(inputs: Sequence[str]) -> list[Source]:
    """What the words of a command line name: files, folders (with those in them), patterns, numbers of cameras.

    Args:
        inputs: at least one; ``*``, ``?`` and ``**`` are filled in, sorted; of a folder, other files are left out.

    Returns:
        Sources, each file once, in the order in which they were named.

    Raises:
        FileNotFoundError: no such file or folder, or nothing fits a pattern.
        ValueError: nothing named, a file of another kind, or a folder without images and videos.
    """
    if not inputs:
        raise ValueError("nothing to read: name images, videos, folders, patterns such as 'photos/*.jpg', or a camera")
    found: dict[str, Source] = {}
    for text in inputs:
        for source in _sources_of(text):
            found.setdefault(f"{source.kind} {os.path.realpath(source.path)}", source)
    return _with_own_names(list(found.values()))


def read_frames(source: Source, on_error: Callable[[MediaError], None] | None = None) -> Iterator[Frame]:
    """The pictures of a source, each read when it is asked for and held by nobody else.

    Args:
        source: from ``find_sources``.
        on_error: takes in what cannot be read, and reading goes on with nothing; None raises.

    Raises:
        MediaError: the source cannot be read.
    """
    reader = _read_image if source.kind == "image" else _read_video
    try:
        yield from reader(source)
    except MediaError as error:
        if on_error is None:
            raise
        on_error(error)


def batches(frames: Iterator[Frame], size: int) -> Iterator[list[Frame]]:
    """Lists of at most ``size`` frames; a list is let go before the next one is read."""
    if size < 1:
        raise ValueError(f"a batch has at least 1 picture, not {size}")
    while batch := list(islice(frames, size)):
        yield batch
        batch.clear()


def _sources_of(text: str) -> list[Source]:
    path = Path(text).expanduser()
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if _kind(file) and file.is_file()]
        if not files:
            raise ValueError(f"the folder {text} holds no images and no videos ({_suffixes()})")
        return [_source(file, str(file.relative_to(path))) for file in files]
    if path.is_file():
        if not _kind(path):
            raise ValueError(f"{text} is no image and no video by its name; known are {_suffixes()}")
        return [_source(path, path.name)]
    if text.isdecimal():
        return [Source("camera", text, f"camera{text}")]
    if glob.has_magic(text):
        files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        files = [file for file in files if _kind(file) and file.is_file()]
        if not files:
            raise FileNotFoundError(f"no image or video fits the pattern {text}")
        # A part that all share says nothing; what differs keeps equal names of several folders apart.
        common = os.path.commonpath([file.parent for file in files])
        return [_source(file, os.path.relpath(file, common)) for file in files]
    raise FileNotFoundError(f"there is no file or folder {text}")


def _with_own_names(sources: list[Source]) -> list[Source]:
    """The same, with a number in the names that several have: 1.jpg of two folders, for instance."""
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


def _source(path: Path, name: str) -> Source:
    return Source(_kind(path), str(path), Path(name).as_posix())


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else ""


def _suffixes() -> str:
    return " ".join([*sorted(IMAGE_SUFFIXES), *sorted(VIDEO_SUFFIXES)])


def read_picture(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """An image file as (H, W, 3) uint8, RGB, turned as its EXIF data say.

    Raises:
        MediaError: the file is missing or no image.
    """
    try:
        return np.ascontiguousarray(detection_utils.read_image(os.fspath(path), format="RGB"))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise MediaError(f"the image {path} cannot be read: {error}") from error


def _read_image(source: Source) -> Iterator[Frame]:
    yield Frame(source, 0, read_picture(source.path))


def _read_video(source: Source) -> Iterator[Frame]:
    import cv2

    capture = cv2.VideoCapture(int(source.path) if source.kind == "camera" else source.path)
    try:
        if not capture.isOpened():
            remedy = "is one connected, and not in use?" if source.kind == "camera" else "is it a whole video file?"
            raise MediaError(f"the {source.kind} {source.path} cannot be opened; {remedy}")
        rate = float(capture.get(cv2.CAP_PROP_FPS) or 0.0)
        index = 0
        while True:
            good, pixels = capture.read()
            if not good:
                break
            yield Frame(source, index, np.ascontiguousarray(pixels[:, :, ::-1]), rate)
            index += 1
        if index == 0:
            raise MediaError(f"the {source.kind} {source.path} gives no picture")
    finally:
        capture.release()


def count_frames(source: Source) -> int | None:
    """How many pictures a source has, as its header says; None where nobody knows."""
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
