"""How much memory something takes: at its peak, and between its forward and its backward pass."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_STATUS, _CLEAR, _MEMINFO = Path("/proc/self/status"), Path("/proc/self/clear_refs"), Path("/proc/meminfo")
_RESET_PEAK = "5"  # what Linux wants in clear_refs to forget the highest resident set so far
_SAMPLE_SECONDS = 0.002


class PeakMemory:
    """Highest memory above the start, in bytes, between ``start`` and ``stop``.

    On CUDA it is what PyTorch's allocator says. On the CPU it is the kernel's own high-water mark of the resident set,
    reset at the start, so that no peak is too short to be seen; where the kernel does not let it be reset, a thread
    looks every 2 ms. Before the start, memory that was freed but not given back is given back.

    Attributes:
        method: "allocator", "high-water mark", "sampled" or "none" (no way on this system).
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = 0
        self._sampler: _Sampler | None = None
        if device.type == "cuda":
            self.method = "allocator"
        elif _can_reset():
            self.method = "high-water mark"
        else:
            self.method = "sampled" if _STATUS.exists() else "none"

    def start(self) -> None:
        gc.collect()
        if self.method == "allocator":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
            return
        _give_back()
        if self.method == "high-water mark":
            _CLEAR.write_text(_RESET_PEAK)
        if self.method != "none":
            self._before = _resident("VmRSS")
        if self.method == "sampled":
            self._sampler = _Sampler()
            self._sampler.start()

    def stop(self) -> int | None:
        """The peak above the start; None where there is no way to know."""
        if self.method == "none":
            return None
        if self.method == "allocator":
            torch.cuda.synchronize(self._device)
            highest = torch.cuda.max_memory_allocated(self._device)
        elif self._sampler is not None:
            highest = self._sampler.finish()
        else:
            highest = _resident("VmHWM")
        return max(highest - self._before, 0)


def kept_bytes(forward: Callable[[], Any]) -> int:
    """Bytes that are held for the backward pass once ``forward`` has returned, each storage counted once.

    Counted are the tensors that autograd saves, those that functions of our own save by ``save_for_backward`` or leave
    on their context, and inputs too where they are saved. Tensors whose part of the graph is gone do not count.

    Args:
        forward: returns tensors, or a mapping or sequence of them, with their graph.
    """
    kept: weakref.WeakSet[_Kept] = weakref.WeakSet()

    def pack(tensor: Tensor) -> _Kept:
        note = _Kept(tensor)
        kept.add(note)
        return note

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda note: note.tensor):
        results = forward()
    tensors = [note.tensor for note in kept] + list(_context_tensors(_tensors(results)))
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def available_bytes(device: torch.device) -> int:
    """Memory that can still be taken; without a way to know, as good as endless."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", _MEMINFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else sys.maxsize


class _Kept:
    """A saved tensor; lives as long as the graph that saved it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach()  # else a saved result would keep its own graph alive, in a circle


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    return [t for value in values for t in _tensors(value)] if isinstance(values, (list, tuple)) else []


def _context_tensors(results: Iterable[Tensor]) -> Iterable[Tensor]:
    """Tensors that custom autograd functions keep as attributes of their context."""
    todo = [t.grad_fn for t in results if t.grad_fn is not None]
    seen = set()
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        yield from _tensors(list(getattr(node, "__dict__", {}).values()))
        todo += [other for other, _ in node.next_functions if other is not None]


class _Sampler(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._highest = 0
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._highest = max(self._highest, _resident("VmRSS"))

    def finish(self) -> int:
        self._done.set()
        self.join()
        return max(self._highest, _resident("VmRSS"))


def _resident(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _can_reset() -> bool:
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _give_back() -> None:
    """Let glibc return freed memory to the system; elsewhere there is nothing to do."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
