"""Makes pseudo depth: reads images ahead, predicts in batches, writes maps; in one process or several."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ..depth_io import write_depth
from .items import DepthItem, output_size, read_rgb
from .model import DepthModel, ModelInfo, ModelInput, PseudoDepthError, finish_depth


@dataclass(frozen=True)
class DepthSettings:
    """How maps are made: ``short_side`` None keeps the image's size; ``threads`` read and write for each process."""

    model: ModelInfo
    short_side: int | None = None
    batch_size: int = 8
    half: bool = False
    threads: int = 4


@dataclass(frozen=True)
class Failure:
    """An image that got no map, and why."""

    image: Path
    problem: str


def choose_devices(device: str, num_processes: int) -> list[str]:
    """The device of each process.

    Args:
        device: "auto" (GPUs where there are any, else the CPU), "cpu", "cuda", or one such as "cuda:1".
        num_processes: on this machine; on GPUs one for each.

    Raises:
        PseudoDepthError: more processes than GPUs, or a device that is not there.
    """
    if num_processes < 1:
        raise PseudoDepthError(f"the number of processes must be at least 1, got {num_processes}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise PseudoDepthError(f"'{device}' is no device; use auto, cpu, cuda or cuda:N") from error
    if parsed.type == "cpu":
        return ["cpu"] * num_processes
    wanted = (parsed.index or 0) + 1 if num_processes == 1 else num_processes
    if parsed.type == "cuda" and wanted > torch.cuda.device_count():
        raise PseudoDepthError(
            f"{num_processes} process(es) on '{device}' need {wanted} GPUs, there are {torch.cuda.device_count()}: "
            "start fewer processes, or use --device cpu"
        )
    if num_processes > 1 and (parsed.type != "cuda" or parsed.index is not None):
        raise PseudoDepthError(f"{num_processes} processes cannot share '{device}'; use --device cuda or cpu")
    return [device] if num_processes == 1 else [f"cuda:{i}" for i in range(num_processes)]


def generate(
    items: Sequence[DepthItem], settings: DepthSettings, devices: Sequence[str] = ("cpu",), progress: bool = True
) -> list[Failure]:
    """Make the depth maps of images.

    Args:
        items: images whose maps are to be written; what is there already is replaced.
        settings: how.
        devices: one for each process.
        progress: show a progress bar.

    Returns:
        The images that failed (unreadable, of another size than the json says, NaN in the output), sorted; they
        get no map, all others a whole one.

    Raises:
        PseudoDepthError: the model cannot be loaded or does not fit into memory.
        OSError: a map cannot be written (a full disk, say).
    """
    # Neighbours of one size can go through the network together.
    items = sorted(items, key=lambda item: item.size or (0, 0))
    with tqdm(total=len(items), unit="image", desc="pseudo depth", disable=not progress) as bar:
        if not items:
            return []
        if len(devices) == 1:
            failures = _make(items, settings, devices[0], bar.update)
        else:
            failures = _in_processes(items, settings, devices, bar)
    return sorted(failures, key=lambda failure: failure.image)


def _make(
    items: Sequence[DepthItem],
    settings: DepthSettings,
    device: str,
    advance: Callable[[int], Any],
    stopped: Callable[[], bool] = lambda: False,
) -> list[Failure]:
    """Make maps in this process; ``advance`` hears how many are done, ``stopped`` is asked before each batch."""
    model = DepthModel(settings.model, device, settings.half)
    failures: list[Failure] = []
    writing: list[Future[None]] = []
    with ThreadPoolExecutor(max(1, settings.threads)) as pool:
        for batch in _read_ahead(items, settings.batch_size, model, pool):
            if stopped():
                break
            failures += [one for _, one in batch if isinstance(one, Failure)]
            readable = [(item, one) for item, one in batch if isinstance(one, ModelInput)]
            for future in writing:
                future.result()
            writing = []
            for _, group in groupby(readable, key=lambda pair: pair[1].pixels.shape):
                for item, made in _predict(list(group), model, settings):
                    if isinstance(made, Failure):
                        failures.append(made)
                    else:
                        writing.append(pool.submit(write_depth, item.depth, made))
            advance(len(batch))
        for future in writing:
            future.result()
    return failures


def _read_ahead(
    items: Sequence[DepthItem], batch_size: int, model: DepthModel, pool: ThreadPoolExecutor
) -> Iterator[list[tuple[DepthItem, ModelInput | Failure]]]:
    """Read batches in the pool, one ahead of the one that is yielded."""

    def read(item: DepthItem) -> ModelInput | Failure:
        try:
            return model.prepare(read_rgb(item))
        except Exception as error:  # a decoder raises whatever it likes at a broken file
            return _failure(item, error)

    waiting: deque[list[tuple[DepthItem, Future[ModelInput | Failure]]]] = deque()
    for start in range(0, len(items), batch_size):
        waiting.append([(item, pool.submit(read, item)) for item in items[start : start + batch_size]])
        if len(waiting) > 1:
            yield [(item, future.result()) for item, future in waiting.popleft()]
    while waiting:
        yield [(item, future.result()) for item, future in waiting.popleft()]


def _predict(
    pairs: Sequence[tuple[DepthItem, ModelInput]], model: DepthModel, settings: DepthSettings
) -> Iterator[tuple[DepthItem, NDArray[np.float32] | Failure]]:
    """Predict images of one shape together; if that fails, one by one, to find the culprit."""
    try:
        maps = model.predict([one for _, one in pairs])
    except torch.OutOfMemoryError as error:
        raise PseudoDepthError(f"{len(pairs)} images do not fit on the GPU; lower --batch-size ({error})") from error
    except RuntimeError as error:
        if len(pairs) == 1:
            yield pairs[0][0], _failure(pairs[0][0], error)
            return
        for pair in pairs:
            yield from _predict([pair], model, settings)
        return
    for (item, one), depth in zip(pairs, maps, strict=True):
        yield item, _finish(item, depth, output_size(one.image_size, settings.short_side))


def _finish(item: DepthItem, depth: torch.Tensor, size: tuple[int, int]) -> NDArray[np.float32] | Failure:
    try:
        return finish_depth(depth, size)
    except PseudoDepthError as error:
        return _failure(item, error)


def _failure(item: DepthItem, error: Exception) -> Failure:
    name = "" if isinstance(error, PseudoDepthError) else f"{type(error).__name__}: "
    return Failure(item.image, f"{name}{error}")


# Of a worker process, set when it starts: the number of finished images, and the sign to stop.
_done: Any = None
_stop: Any = None


def _in_processes(
    items: Sequence[DepthItem], settings: DepthSettings, devices: Sequence[str], bar: tqdm
) -> list[Failure]:
    count = len(devices)
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    done, stop = context.Value("q", 0), context.Event()
    with ProcessPoolExecutor(count, context, _start, (done, stop, count)) as pool:
        futures = [
            pool.submit(_work, items[i::count], settings, device, os.getpid()) for i, device in enumerate(devices)
        ]
        try:
            running = True
            while running:
                finished, unfinished = wait(futures, timeout=0.2, return_when=FIRST_EXCEPTION)
                bar.update(done.value - bar.n)
                running = bool(unfinished) and not any(future.exception() for future in finished)
        finally:
            stop.set()  # also after an error here or in one of them
        try:
            return [failure for future in futures for failure in future.result()]
        except BrokenProcessPool as error:
            raise PseudoDepthError(
                "a process died, probably for want of memory; start fewer, or lower --batch-size"
            ) from error


def _start(done: Any, stop: Any, count: int) -> None:
    global _done, _stop
    _done, _stop = done, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which says when to stop
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // count))


def _work(items: Sequence[DepthItem], settings: DepthSettings, device: str, parent: int) -> list[Failure]:
    def advance(number: int) -> None:
        with _done.get_lock():
            _done.value += number

    # A killed parent cannot say stop.
    return _make(items, settings, device, advance, lambda: _stop.is_set() or os.getppid() != parent)
