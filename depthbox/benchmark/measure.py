"""Time of a pass (median and quartiles) and the peak rates of the device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .memory import PeakMemory

Results = dict[str, Any]

_COPY_BYTES = 2**28
_MATRIX = {"cpu": 1024, "cuda": 8192}


@dataclass(frozen=True)
class Pass:
    """One computation: a forward pass and, if it has leaves, a backward pass.

    Attributes:
        forward: function that returns named results; results with a graph are differentiated.
        leaves: name -> tensor whose gradient is added to the results; without leaves the backward pass is skipped.
        cotangents: name of a result -> incoming gradient of that result; by default 1, for scalars.
    """

    forward: Callable[[], Results]
    leaves: Mapping[str, Tensor] = field(default_factory=dict)
    cotangents: Mapping[str, Tensor] = field(default_factory=dict)

    def __call__(self) -> Results:
        """Return the detached results, and the gradients as ``grad <leaf>``."""
        for leaf in self.leaves.values():
            leaf.grad = None
        results = self.forward()
        if not self.leaves:
            return results
        roots = {name: x for name, x in results.items() if isinstance(x, Tensor) and x.requires_grad}
        torch.autograd.backward(list(roots.values()), [self.cotangents.get(name) for name in roots])
        gradients = {f"grad {name}": leaf.grad for name, leaf in self.leaves.items()}
        return {name: x.detach() if isinstance(x, Tensor) else x for name, x in results.items()} | gradients


@dataclass(frozen=True)
class Measurement:
    """Seconds of each repetition, and the peak memory above the start in bytes (None if unknown)."""

    seconds: tuple[float, ...]
    peak_bytes: int | None

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile of the seconds; for a single repetition, its seconds twice."""
        if len(self.seconds) < 2:
            return self.seconds[0], self.seconds[0]
        first, _, third = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return first, third


def measure(
    run: Callable[[], Any], device: torch.device, *, repeat: int = 5, least: int = 1, budget: float = 20.0
) -> Measurement:
    """Time a function that has already been warmed up; peak memory is that of the first repetition.

    Args:
        run: function to time; its result is released before the next repetition.
        device: device that is synchronized before each reading of the clock.
        repeat: maximum number of repetitions.
        least: minimum number of repetitions, even if they exceed the budget.
        budget: seconds after which no further repetition starts.
    """
    peak, highest = PeakMemory(device), None
    seconds: list[float] = []
    while len(seconds) < least or (len(seconds) < repeat and sum(seconds) < budget):
        if not seconds:
            peak.start()
        synchronize(device)
        start = time.perf_counter()
        result = run()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
        if len(seconds) == 1:
            highest = peak.stop()
        del result
    return Measurement(tuple(seconds), highest)


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_bandwidth(device: torch.device, num_bytes: int = _COPY_BYTES) -> float:
    """Measure the bytes per second, read and written, of copying a large tensor."""
    source = torch.ones(num_bytes // 4, device=device)
    target = torch.empty_like(source)
    return 2 * num_bytes / _measure_best(lambda: target.copy_(source), device)


def matrix_rate(device: torch.device, size: int = 0) -> float:
    """Measure the floating point operations per second of a large float32 matrix product."""
    size = size or _MATRIX.get(device.type, 1024)
    a, b = torch.ones((2, size, size), device=device)
    return 2 * size**3 / _measure_best(lambda: torch.mm(a, b), device)


def _measure_best(run: Callable[[], Any], device: torch.device) -> float:
    run()
    return min(measure(run, device, repeat=7, budget=5.0).seconds)
