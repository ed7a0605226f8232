"""Generation of pseudo depth in one process or several."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from tqdm import tqdm

from ..process_pool import follow_parent
from .items import DepthItem
from .model import PseudoDepthError
from .worker import DepthSettings, GeneratedDepth, generate_maps


def choose_devices(device: str, num_processes: int) -> list[str]:
    """Choose the device of each process.

    Args:
        device: "auto" (GPUs if available, else the CPU), "cpu", "cuda", or a single one such as "cuda:1".
        num_processes: number of processes on this machine; on GPUs one process per GPU.

    Raises:
        PseudoDepthError: more processes than GPUs, or an unknown device.
    """
    if num_processes < 1:
        raise PseudoDepthError(f"the number of processes must be at least 1, got {num_processes}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise PseudoDepthError(f"'{device}' is not a device: use auto, cpu, cuda or cuda:N") from error
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
) -> GeneratedDepth:
    """Generate the depth maps of images.

    Args:
        items: images whose maps are written; existing maps are replaced.
        settings: model and sizes.
        devices: device of each process.
        progress: show a progress bar.

    Returns:
        The failures (an unreadable image, another size than in the annotations, NaN in the output) and the files with
        several pages. Each image that did not fail has a complete map.

    Raises:
        PseudoDepthError: the model cannot be loaded or does not fit into memory.
        OSError: a map cannot be written, for instance because the disk is full.
    """
    # Neighbors of one size can be predicted in one batch.
    items = sorted(items, key=lambda item: item.size or (0, 0))
    with tqdm(total=len(items), unit="image", desc="pseudo depth", disable=not progress) as bar:
        if not items:
            return GeneratedDepth()
        if len(devices) == 1:
            return generate_maps(items, settings, devices[0], bar.update).merged([])
        return _generate_in_processes(items, settings, devices, bar)


# Set at the start of a worker process: the number of finished images, and the event that stops the processes.
_done: Any = None
_stop: Any = None


def _generate_in_processes(
    items: Sequence[DepthItem], settings: DepthSettings, devices: Sequence[str], bar: tqdm
) -> GeneratedDepth:
    count = len(devices)
    context = multiprocessing.get_context("spawn")  # CUDA cannot be used after a fork
    done, stop = context.Value("q", 0), context.Event()
    with ProcessPoolExecutor(count, context, _start_worker, (done, stop, count, os.getpid())) as pool:
        futures = [
            pool.submit(_run_worker, items[i::count], settings, device, os.getpid()) for i, device in enumerate(devices)
        ]
        try:
            running = True
            while running:
                finished, unfinished = wait(futures, timeout=0.2, return_when=FIRST_EXCEPTION)
                bar.update(done.value - bar.n)
                running = bool(unfinished) and not any(future.exception() for future in finished)
        finally:
            stop.set()  # also after an error of this process or of another one
        try:
            return GeneratedDepth().merged(future.result() for future in futures)
        except BrokenProcessPool as error:
            raise PseudoDepthError(
                "a process was killed, probably for lack of memory: start fewer processes, or lower --batch-size"
            ) from error


def _start_worker(done: Any, stop: Any, count: int, parent: int) -> None:
    global _done, _stop
    _done, _stop = done, stop
    follow_parent(parent)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // count))


def _run_worker(items: Sequence[DepthItem], settings: DepthSettings, device: str, parent: int) -> GeneratedDepth:
    def advance(number: int) -> None:
        with _done.get_lock():
            _done.value += number

    # A killed parent cannot set the event.
    return generate_maps(items, settings, device, advance, lambda: _stop.is_set() or os.getppid() != parent)
