"""Every image and depth map of a dataset, decoded as training decodes it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...io.images import ImageError, is_deep, page_count, read_image
from .depth import DepthFacts, inspect_depth, judge_depth
from .findings import Example, Findings, to_line
from .records import ImageRecord

T = TypeVar("T")
R = TypeVar("R")

_FLAT = 4  # range of the values of an image of nearly one color


@dataclass(frozen=True)
class DecodedImages:
    """Images of a dataset that were decoded.

    Attributes:
        unreadable: numbers of the images that cannot be decoded.
        digests: digest of the pixels -> file name, of images with more than one color.
    """

    unreadable: frozenset[int]
    digests: Mapping[str, str]


@dataclass
class _Inspection:
    """Problems and facts of one image."""

    found: list[tuple[str, Example]] = field(default_factory=list)
    size: tuple[int, int] | None = None  # (height, width) of the pixels; None = unreadable
    digest: str = ""
    depth: DepthFacts | None = None


def choose_evenly(images: Sequence[ImageRecord], count: int | None) -> list[ImageRecord]:
    """Return ``count`` images, evenly spread over the list; None = all."""
    if count is None or count >= len(images):
        return list(images)
    return [images[place * len(images) // count] for place in range(count)]


def read_files(
    images: Sequence[ImageRecord],
    folder: Path,
    depth: Mapping[str, str],
    depth_folder: Path | None,
    findings: Findings,
    *,
    workers: int,
    progress: bool = True,
) -> DecodedImages:
    """Read images and their depth maps in parallel; the findings do not depend on the number of threads.

    Args:
        images: existing images.
        folder: their folder.
        depth: name of the image -> name of its depth file.
        depth_folder: folder of the depth files; None = without depth.
        findings: takes the problems.
        workers: number of threads; decoding does not hold the lock of Python.
        progress: show a progress bar.
    """

    def inspect(image: ImageRecord) -> _Inspection:
        result = inspect_image(image, folder)
        name = depth.get(image.file_name)
        if name and depth_folder and result.size == image.size:  # otherwise the image has to be corrected first
            found, result.depth = inspect_depth(image, depth_folder / name, image.size)
            result.found += found
        return result

    unreadable: set[int] = set()
    digests: dict[str, str] = {}
    facts: list[DepthFacts] = []
    with tqdm(total=len(images), desc="reading", unit="image", disable=not progress, leave=False) as bar:
        for image, result in zip(images, _map_in_order(inspect, images, workers), strict=True):
            for kind, example in result.found:
                findings.add(kind, example)
            if result.size is None:
                unreadable.add(image.number)
            if result.digest and digests.setdefault(result.digest, image.file_name) != image.file_name:
                findings.add("image_repeated", Example(f"the same as {digests[result.digest]}", image.file_name))
            if result.depth is not None:
                facts.append(result.depth)
            bar.update()
    judge_depth(facts, findings)
    return DecodedImages(frozenset(unreadable), digests)


def inspect_image(image: ImageRecord, folder: Path) -> _Inspection:
    """Decode an image and return its problems."""
    path = folder / image.file_name
    try:
        pixels = read_image(path)
        pages, deep = page_count(path), is_deep(path)
    except ImageError as error:
        cause = to_line(error).replace(str(path), "file")
        return _Inspection([("image_unreadable", Example(cause, image.file_name))])
    result = _Inspection(size=(pixels.shape[0], pixels.shape[1]))
    if deep:
        result.found.append(("image_deep", Example("", image.file_name)))
    if pages > 1:
        result.found.append(("image_pages", Example(f"{pages} pages or frames", image.file_name)))
    low, high = pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1))
    if int((high - low).max()) < _FLAT and pixels.shape[0] * pixels.shape[1] > 1:
        color = ", ".join(str(value) for value in low.tolist())
        result.found.append(("image_flat", Example(f"red, green, blue: {color}", image.file_name)))
    else:
        result.digest = _digest(pixels)
    return result


def _digest(pixels: NDArray[np.uint8]) -> str:
    return hashlib.blake2b(pixels.data, digest_size=16, salt=str(pixels.shape[1]).encode()[:16]).hexdigest()


def _map_in_order(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Map in threads; results come in order, and only a few are computed ahead."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
