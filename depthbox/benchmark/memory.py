"""Memory of a computation: its peak, and the memory kept between forward and backward pass."""

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
_RESET_PEAK = "5"  # value for clear_refs that resets the peak of the resident set (proc(5))
_SAMPLE_SECONDS = 0.002


class PeakMemory:
    """Peak memory above the start, in bytes, between ``start`` and ``stop``.

    On CUDA the peak is that of PyTorch's allocator. On the CPU it is the kernel's high-water mark of the resident set,
    which is reset at the start, so that short peaks are included. If the kernel does not allow the reset, a thread
    samples the resident set every 2 ms. ``start`` first returns freed memory to the system.

    Attributes:
        method: "allocator", "high-water mark", "sampled" or "none" (unsupported system).
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
        """Start the measurement at the current memory."""
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
        """Return the peak above the start in bytes; None if the method is "none"."""
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
    """Count the bytes that are kept for the backward pass after ``forward`` has returned, each storage once.

    The tensors are those saved by autograd, those that custom functions save by ``save_for_backward`` or as attributes
    of their context, and saved inputs. Tensors of released parts of the graph are not counted.

    Args:
        forward: function that returns tensors, or a mapping or sequence of tensors, with their graph.
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
    """Return the bytes of memory that are available; ``sys.maxsize`` if unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", _MEMINFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else sys.maxsize


class _Kept:
    """Saved tensor; lives as long as the graph that saved it."""

    def __init__(self, tensor: Tensor) -> None:
        # Without detach, a saved result would keep its own graph alive in a reference cycle.
        self.tensor = tensor.detach()


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    return [t for value in values for t in _tensors(value)] if isinstance(values, (list, tuple)) else []


def _context_tensors(results: Iterable[Tensor]) -> Iterable[Tensor]:
    """Yield the tensors that custom autograd functions keep as attributes of their context."""
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
    """Let glibc return freed memory to the system; a no-op on other systems."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
