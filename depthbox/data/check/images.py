"""Reading every image and depth map, as training does, to see that it can be read and is what the json says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from detectron2.data import detection_utils
from PIL import Image
from tqdm import tqdm

from ..depth_io import DepthFileError, read_depth
from .findings import Example, Findings, one_line
from .records import ImageRecord

T = TypeVar("T")
R = TypeVar("R")

_EXIF_ORIENTATION = 274
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_FLAT = 1e-3  # a depth map that spans less is constant

# How the errors of ``read_depth`` begin to differ; whatever else it says is "depth_unreadable".
_DEPTH_KINDS = (
    ("the aspect ratios differ", "depth_size_differs"),
    ("a depth PNG is 16-bit grey", "depth_8bit"),
    ("holds NaN or infinite", "depth_not_finite"),
)

Found = list[tuple[str, Example]]


def choose_evenly(images: Sequence[ImageRecord], count: int | None) -> list[ImageRecord]:
    """``count`` images, evenly spread over the list; None = all."""
    if count is None or count >= len(images):
        return list(images)
    return [images[place * len(images) // count] for place in range(count)]


def read_files(
    images: Sequence[ImageRecord],
    folder: Path,
    depth: dict[str, str],
    depth_folder: Path | None,
    findings: Findings,
    *,
    workers: int,
    progress: bool = True,
) -> None:
    """Read images and their depth maps, in parallel; the findings do not depend on the number of threads.

    Args:
        images: whose files are there.
        folder: of the images.
        depth: name of the depth file by the image's name.
        depth_folder: of the depth files, None = no depth.
        findings: takes in what is wrong.
        workers: threads; decoding does not hold Python's lock.
        progress: whether to show a progress bar.
    """

    def inspect(image: ImageRecord) -> Found:
        found, size = inspect_image(image, folder)
        name = depth.get(image.file_name)
        if name and depth_folder and size:
            found += inspect_depth(image, depth_folder / name, size)
        return found

    with tqdm(total=len(images), desc="reading", unit="image", disable=not progress, leave=False) as bar:
        for found in _in_order(inspect, images, workers):
            for kind, example in found:
                findings.add(kind, example)
            bar.update()


def inspect_image(image: ImageRecord, folder: Path) -> tuple[Found, tuple[int, int] | None]:
    """What is wrong with an image file, and its (height, width); None where it cannot be read or has another size.

    The depth of an image of a wrong size is not worth a word before the image is mended.
    """
    path = folder / image.file_name
    try:
        with Image.open(path) as opened:
            mode, stored = opened.mode, (opened.height, opened.width)
            orientation = opened.getexif().get(_EXIF_ORIENTATION, 1)
        height, width = detection_utils.read_image(str(path), format="BGR").shape[:2]
    except Exception as error:  # decoders of broken files raise nearly anything
        return [("image_unreadable", _example(image, one_line(error).replace(str(path), "the file")))], None
    found: Found = []
    if mode in _DEEP_MODES:
        found.append(("image_deep", _example(image, f"its pixels are of Pillow's mode '{mode}'")))
    if image.size is not None and image.size != (height, width):
        says = f"the file is {width} x {height}, the json says {image.size[1]} x {image.size[0]} (width x height)"
        turned = image.size == stored
        says += f"; EXIF orientation {orientation}" if turned else ""
        example = replace(_example(image, says), declared_size=image.size)
        found.append(("image_turned" if turned else "image_size_differs", example))
        return found, None
    return found, (height, width)


def inspect_depth(image: ImageRecord, path: Path, size: tuple[int, int]) -> Found:
    """What is wrong with the depth map of an image of (height, width) ``size``."""
    try:
        depth = read_depth(path, size)
    except DepthFileError as error:
        problem = str(error).removeprefix(f"{path}: ")
        kind = next((kind for phrase, kind in _DEPTH_KINDS if phrase in problem), "depth_unreadable")
        return [(kind, _example(image, f"{path.name}: {one_line(problem.split('. Depth files are made')[0])}", True))]
    except Exception as error:  # decoders of broken files raise nearly anything
        return [("depth_unreadable", _example(image, f"{path.name}: {one_line(error)}", True))]
    if depth.max() - depth.min() < _FLAT:
        return [("depth_constant", _example(image, f"{path.name} is {depth.flat[0]:.3f} all over", True))]
    return []


def _in_order(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Map in threads; results come in order, and only a few are under way at a time."""
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


def _example(image: ImageRecord, detail: str, depth: bool = False) -> Example:
    return Example(detail, image.file_name, image.id, depth=depth)
