"""How long a pass takes, with median and quartiles, and what the machine could do at best."""

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
    """One computation: forward, and backward where it has leaves.

    Attributes:
        forward: gives named results; those with a graph are differentiated.
        leaves: name -> tensor whose gradient belongs to the results; none: no backward pass.
        cotangents: name of a result -> gradient that flows into it; 1 for scalars.
    """

    forward: Callable[[], Results]
    leaves: Mapping[str, Tensor] = field(default_factory=dict)
    cotangents: Mapping[str, Tensor] = field(default_factory=dict)

    def __call__(self) -> Results:
        """Results, detached, and the gradients as ``grad <leaf>``."""
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
    """Seconds of each repetition, and the highest memory above the start in bytes (None: unknown)."""

    seconds: tuple[float, ...]
    peak_bytes: int | None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third; of a single repetition, itself."""
        if len(self.seconds) < 2:
            return self.seconds[0], self.seconds[0]
        first, _, third = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return first, third


def measure(
    run: Callable[[], Any], device: torch.device, *, repeat: int = 5, least: int = 1, budget: float = 20.0
) -> Measurement:
    """Time a function that is warm already; its memory is that of the first repetition.

    Args:
        run: the function; what it returns is dropped before the next repetition.
        device: waited for before each look at the clock.
        repeat: repetitions at most.
        least: repetitions even where they take longer than the budget.
        budget: seconds after which no further repetition begins.
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
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_bandwidth(device: torch.device, num_bytes: int = _COPY_BYTES) -> float:
    """Bytes per second, read and written, of copying a large tensor."""
    source = torch.ones(num_bytes // 4, device=device)
    target = torch.empty_like(source)
    return 2 * num_bytes / _best(lambda: target.copy_(source), device)


def matrix_rate(device: torch.device, size: int = 0) -> float:
    """Floating point operations per second of a large float32 matrix product."""
    size = size or _MATRIX.get(device.type, 1024)
    a, b = torch.ones((2, size, size), device=device)
    return 2 * size**3 / _best(lambda: torch.mm(a, b), device)


def _best(run: Callable[[], Any], device: torch.device) -> float:
    run()
    return min(measure(run, device, repeat=7, budget=5.0).seconds)
