"""Generation of depth maps in one process: read-ahead, batched prediction, writing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ...io.images import ImageError
from ..depth_io import write_depth
from .items import DepthItem, has_several_pages, output_size, read_rgb
from .model import DepthModel, ModelInfo, ModelInput, PseudoDepthError

_CONSTANT = 1e-6  # a map that varies less than this, relative to its values, is constant apart from rounding


@dataclass(frozen=True)
class DepthSettings:
    """Settings of the generation.

    Attributes:
        model: depth-estimation model.
        short_side: short side of the maps in pixels; None = that of each image.
        batch_size: images per batch of a process.
        half: compute in float16 (CUDA only).
        threads: threads of a process that read and write.
    """

    model: ModelInfo
    short_side: int | None = None
    batch_size: int = 8
    half: bool = False
    threads: int = 4


@dataclass(frozen=True)
class DepthFailure:
    """An image without a map, and the cause in one line."""

    image: Path
    problem: str


@dataclass(frozen=True)
class GeneratedDepth:
    """Result of a generation.

    Attributes:
        failures: images that got no map.
        paged: image files with several pages or frames, of which the first one was used.
    """

    failures: list[DepthFailure] = field(default_factory=list)
    paged: list[Path] = field(default_factory=list)

    def merged(self, others: Iterable[GeneratedDepth]) -> GeneratedDepth:
        """Return this and other results as one, sorted by image file."""
        parts = [self, *others]
        return GeneratedDepth(
            sorted((failure for part in parts for failure in part.failures), key=lambda failure: failure.image),
            sorted(path for part in parts for path in part.paged),
        )


@dataclass(frozen=True)
class _ReadImage:
    """An image that is ready for the network."""

    item: DepthItem
    pixels: ModelInput
    paged: bool


def generate_maps(
    items: Sequence[DepthItem],
    settings: DepthSettings,
    device: str,
    advance: Callable[[int], Any],
    stopped: Callable[[], bool] = lambda: False,
) -> GeneratedDepth:
    """Generate maps in this process.

    Args:
        items, settings: as in ``generate``.
        device: device of the network.
        advance: called with the number of images of each finished batch.
        stopped: called before each batch; True ends the generation.
    """
    model = DepthModel(settings.model, device, settings.half)
    result = GeneratedDepth()
    writing: list[Future[None]] = []
    with ThreadPoolExecutor(max(1, settings.threads)) as pool:
        for batch in _read_ahead(items, settings.batch_size, model, pool):
            if stopped():
                break
            readable = [image for image in batch if isinstance(image, _ReadImage)]
            result.failures.extend(failure for failure in batch if isinstance(failure, DepthFailure))
            result.paged.extend(image.item.image for image in readable if image.paged)
            for future in writing:
                future.result()
            writing = []
            for _, group in groupby(readable, key=lambda image: image.pixels.pixels.shape):
                for item, predicted in _predict(list(group), model, settings):
                    if isinstance(predicted, DepthFailure):
                        result.failures.append(predicted)
                    else:
                        writing.append(pool.submit(write_depth, item.depth, predicted))
            advance(len(batch))
        for future in writing:
            future.result()
    return result


def finish_depth(depth: Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize a raw map and scale it to [0, 1].

    Args:
        depth: (h, w) float32, inverse depth in any unit.
        size: (height, width) of the result in pixels.

    Returns:
        (height, width) float32 with the smallest value 0 and the largest value 1; a constant map, which has neither
        near nor far, becomes 0.5.

    Raises:
        PseudoDepthError: the map holds NaN or infinite values.
    """
    if not bool(torch.isfinite(depth).all()):
        raise PseudoDepthError("the model's output has NaN or infinite values (if --half is given: leave it out)")
    resized = F.interpolate(depth[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    values = resized.cpu().numpy().astype(np.float64)
    low, high = values.min(), values.max()
    if high - low <= _CONSTANT * max(abs(low), abs(high)):
        return np.full(size, 0.5, dtype=np.float32)
    return ((values - low) / (high - low)).astype(np.float32)


def _read_ahead(
    items: Sequence[DepthItem], batch_size: int, model: DepthModel, pool: ThreadPoolExecutor
) -> Iterator[list[_ReadImage | DepthFailure]]:
    """Read batches in the pool, one batch ahead of the one that is yielded."""

    def read(item: DepthItem) -> _ReadImage | DepthFailure:
        try:
            return _ReadImage(item, model.prepare(read_rgb(item)), has_several_pages(item))
        except Exception as error:  # image processors raise nearly any exception for unusual images
            return _describe_failure(item, error)

    waiting: deque[list[Future[_ReadImage | DepthFailure]]] = deque()
    for start in range(0, len(items), batch_size):
        waiting.append([pool.submit(read, item) for item in items[start : start + batch_size]])
        if len(waiting) > 1:
            yield [future.result() for future in waiting.popleft()]
    while waiting:
        yield [future.result() for future in waiting.popleft()]


def _predict(
    images: Sequence[_ReadImage], model: DepthModel, settings: DepthSettings
) -> Iterator[tuple[DepthItem, NDArray[np.float32] | DepthFailure]]:
    """Predict images of one shape in one batch; if that fails, one by one, to find the image that fails."""
    try:
        maps = model.predict([image.pixels for image in images])
    except torch.OutOfMemoryError as error:
        raise PseudoDepthError(f"{len(images)} images do not fit on the GPU; lower --batch-size ({error})") from error
    except Exception as error:  # a processor with unusual settings delivers inputs of any shape
        if len(images) == 1:
            yield images[0].item, _describe_failure(images[0].item, error)
            return
        for image in images:
            yield from _predict([image], model, settings)
        return
    for image, depth in zip(images, maps, strict=True):
        yield image.item, _finish(image.item, depth, output_size(image.pixels.image_size, settings.short_side))


def _finish(item: DepthItem, depth: torch.Tensor, size: tuple[int, int]) -> NDArray[np.float32] | DepthFailure:
    try:
        return finish_depth(depth, size)
    except PseudoDepthError as error:
        return _describe_failure(item, error)


def _describe_failure(item: DepthItem, error: Exception) -> DepthFailure:
    name = "" if isinstance(error, PseudoDepthError | ImageError) else f"{type(error).__name__}: "
    # The record has the path.
    return DepthFailure(item.image, name + str(error).replace(f"the image {item.image} ", "the image ", 1))
