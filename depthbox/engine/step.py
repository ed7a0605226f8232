"""Parts of a training step: random seeds, precision, and the transfer of losses and statistics to the host."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

Batch = list[dict[str, Any]]


def resolve_seed(seed: int) -> int:
    """Return the seed of a run, the same on all processes; a negative seed is replaced by a random one."""
    if seed >= 0:
        return seed
    drawn = comm.all_gather(torch.seed() % 2**31)[0]
    logging.getLogger(__name__).info("Random seed %d (set SEED %d to repeat this run)", drawn, drawn)
    return drawn


def seed_everything(*entropy: int) -> None:
    """Seed ``random``, numpy and torch (CPU and GPU) from non-negative integers.

    The trainer calls it before every step with (seed, iteration, rank). The random numbers of a step then do not
    depend on earlier events (evaluations, a restart), and no state of a generator has to be saved.
    """
    words = np.random.SeedSequence(entropy).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.manual_seed(int(words[2]) << 32 | int(words[3]))


def select_amp_dtype(cfg: CfgNode) -> torch.dtype | None:
    """Return the autocast type: bfloat16 on the CPU, SOLVER.AMP.DTYPE (float16) on CUDA; None = no autocast.

    Raises:
        ValueError: an unknown SOLVER.AMP.DTYPE.
    """
    if not cfg.SOLVER.AMP.ENABLED:
        return None
    if torch.device(cfg.MODEL.DEVICE).type == "cpu":
        return torch.bfloat16
    name = cfg.SOLVER.AMP.get("DTYPE", "float16")
    if name not in ("float16", "bfloat16"):
        raise ValueError(f"SOLVER.AMP.DTYPE is float16 or bfloat16, not '{name}'")
    return getattr(torch, name)


def count_micro_batches(cfg: CfgNode) -> int:
    """Return SOLVER.ACCUMULATION_STEPS.

    Raises:
        ValueError: SOLVER.IMS_PER_BATCH is not a multiple of it times the number of processes.
    """
    batch, steps, world = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.ACCUMULATION_STEPS, comm.get_world_size()
    if steps < 1 or batch < 1 or batch % (steps * world):
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH = {batch} must be a multiple of {world} processes x "
            f"SOLVER.ACCUMULATION_STEPS = {steps}, the number of images per optimizer step"
        )
    return steps


def distribute(network: nn.Module, device_type: str) -> nn.Module:
    """Wrap a network in DistributedDataParallel if there are several processes."""
    if comm.get_world_size() == 1:
        return network
    devices = [torch.cuda.current_device()] if device_type == "cuda" else None
    return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)


class HostCopy:
    """An asynchronous copy of a small tensor to the host; only ``numbers`` waits for the device.

    Args:
        values: a tensor of any shape.
    """

    def __init__(self, values: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._values = values.detach()
        if values.is_cuda:
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def numbers(self) -> list[Any]:
        """Return the values as (nested) Python numbers."""
        if self._event is not None:
            self._event.synchronize()
        return self._values.tolist()


@dataclass(frozen=True)
class StepNumbers:
    """Numbers of one training step, on the host.

    Attributes:
        losses: mean of each loss over micro-batches and processes.
        statistics: statistics of each micro-batch of this process, see ``DepthBox.training_stats``.
        flags: means over the processes of the flags of ``LossMonitor.send``.
    """

    losses: dict[str, float]
    statistics: list[dict[str, float]]
    flags: tuple[float, ...] = ()

    def write_statistics(self, storage: EventStorage) -> None:
        """Write the statistics to the event storage; an undefined (NaN) health value is skipped.

        A NaN of another statistic is written, because it belongs to a loss that is not finite.
        """
        for values in self.statistics:
            for name, value in values.items():
                if not (name.startswith("health/") and math.isnan(value)):
                    storage.put_scalar(name, value)


class LossMonitor:
    """Losses and statistics of one step, and an error if a loss is not finite.

    There is one synchronization with the device per step: for a copy that is issued before the backward pass.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._losses: list[Tensor] = []
        self._statistics: list[Mapping[str, Tensor | float]] = []
        self._batches: list[Batch] = []
        self._flags = 0

    def add(
        self, losses: Mapping[str, Tensor], batch: Batch, statistics: Mapping[str, Tensor | float] | None = None
    ) -> None:
        """Add a micro-batch.

        Args:
            losses: scalars by name.
            batch: the images, for messages.
            statistics: scalars by name, on the device of the losses or on the host.
        """
        self._names = list(losses)
        self._losses.append(torch.stack([loss.detach().float().reshape(()) for loss in losses.values()]))
        self._statistics.append(dict(statistics or {}))
        self._batches.append(batch)

    def send(self, flags: Tensor | None = None) -> None:
        """Start averaging and copying to the host; call it on all processes after the last forward pass.

        Args:
            flags: (S,) float, averaged over the processes together with the losses.
        """
        self._table = torch.stack(self._losses)
        mean = self._table.mean(dim=0)
        if flags is not None:
            mean = torch.cat([mean, flags.to(mean)])
            self._flags = len(flags)
        if comm.get_world_size() > 1:
            dist.all_reduce(mean)
            mean /= comm.get_world_size()
        tensors = [value for stats in self._statistics for value in stats.values() if isinstance(value, Tensor)]
        self._copy = HostCopy(torch.cat([mean, *(value.detach().float().reshape(1) for value in tensors)]))

    def receive(self) -> StepNumbers:
        """Wait for the copy that ``send`` started, and return its numbers."""
        numbers = iter(self._copy.numbers())
        losses = {name: next(numbers) for name in self._names}
        flags = tuple(next(numbers) for _ in range(self._flags))
        statistics = [
            {name: next(numbers) if isinstance(value, Tensor) else value for name, value in stats.items()}
            for stats in self._statistics
        ]
        return StepNumbers(losses, statistics, flags)

    def check_finite(self, losses: Mapping[str, float], iteration: int, advise: Callable[[], str]) -> None:
        """Stop training if a loss is infinite or NaN; call it on all processes.

        Args:
            losses: of ``receive``.
            iteration: for the message.
            advise: called on all processes if a loss is not finite; returns advice for the message.

        Raises:
            FloatingPointError: on all processes, if a loss of any of them is not finite; the message names the losses
                and the images.
        """
        if not all(math.isfinite(value) for value in losses.values()):
            raise FloatingPointError(f"{self._message(iteration)}. {advise()}")

    def _message(self, iteration: int) -> str:
        findings = []
        for values, batch in zip(self._table.tolist(), self._batches, strict=True):
            named = zip(self._names, values, strict=True)
            bad = [f"{name} = {value}" for name, value in named if not math.isfinite(value)]
            if bad:
                findings.append(f"{', '.join(bad)} on {_name_images(batch)}")
        everywhere = [finding for part in comm.all_gather(findings) for finding in part]
        return f"the loss is not finite at iteration {iteration}: {'; '.join(everywhere)}"


def _name_images(batch: Sequence[Mapping[str, Any]]) -> str:
    names = [f"image {item.get('image_id', '(no id)')} ({item.get('file_name', 'no file')})" for item in batch]
    return ", ".join(names)
