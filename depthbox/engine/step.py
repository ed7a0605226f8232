"""Parts of one training step: its random numbers, its precision, and the watch over its losses."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..checkpoint.store import advice
from ..modeling.training_stats import HostCopy, write_signs

Batch = list[dict[str, Any]]


def shared_seed(seed: int) -> int:
    """The seed of a run, the same on all processes; drawn where it is negative."""
    if seed >= 0:
        return seed
    drawn = comm.all_gather(torch.seed() % 2**31)[0]
    logging.getLogger(__name__).info("Random seed %d (set SEED %d to repeat this run)", drawn, drawn)
    return drawn


def seed_everything(*entropy: int) -> None:
    """Seed ``random``, numpy and torch (CPU and GPU) from non-negative integers.

    The trainer calls it before every step with (seed, iteration, rank): what a step draws then depends on
    nothing that came before it (evaluations, a restart), and no generator's state needs saving.
    """
    words = np.random.SeedSequence(entropy).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.manual_seed(int(words[2]) << 32 | int(words[3]))


def amp_dtype(cfg: CfgNode) -> torch.dtype | None:
    """Type of autocast: bfloat16 on the CPU, SOLVER.AMP.DTYPE (float16) on CUDA; None = no autocast.

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


def distribute(network: nn.Module, device_type: str) -> nn.Module:
    """Wrap a network in DistributedDataParallel where there are several processes."""
    if comm.get_world_size() == 1:
        return network
    devices = [torch.cuda.current_device()] if device_type == "cuda" else None
    return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)


class LossMonitor:
    """Losses of one step: their mean over micro-batches and processes, and a stop where one is not finite.

    The host waits once a step, for a copy of a few numbers that leaves the GPU before the backward pass.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._rows: list[Tensor] = []
        self._batches: list[Batch] = []

    def add(self, losses: Mapping[str, Tensor], batch: Batch) -> None:
        """Take in the losses (scalars) of one micro-batch."""
        self._names = list(losses)
        self._rows.append(torch.stack([loss.detach().float().reshape(()) for loss in losses.values()]))
        self._batches.append(batch)

    def send(self) -> None:
        """Start averaging and copying to the host; call it on all processes after the last forward pass."""
        self._table = torch.stack(self._rows)
        mean = self._table.mean(dim=0)
        if comm.get_world_size() > 1:
            dist.all_reduce(mean)
            mean /= comm.get_world_size()
        self._mean = HostCopy(mean)

    def receive(self, iteration: int, last_good: Path | None) -> dict[str, float]:
        """Wait for the numbers that ``send`` sent; with them those arrive that the network noted, and are written.

        Args:
            iteration: for the message.
            last_good: the last checkpoint, for the message.

        Returns:
            Mean of each loss over micro-batches and processes.

        Raises:
            FloatingPointError: on all processes, when a loss of any of them is infinite or NaN; the message
                names the terms and the images.
        """
        values = dict(zip(self._names, self._mean.numbers(), strict=True))
        write_signs()
        if not all(math.isfinite(value) for value in values.values()):
            raise FloatingPointError(self._message(iteration, last_good))
        return values

    def _message(self, iteration: int, last_good: Path | None) -> str:
        findings = []
        for row, batch in zip(self._table.tolist(), self._batches, strict=True):
            bad = [
                f"{name} = {value}" for name, value in zip(self._names, row, strict=True) if not math.isfinite(value)
            ]
            if bad:
                findings.append(f"{', '.join(bad)} on {_images(batch)}")
        everywhere = [finding for part in comm.all_gather(findings) for finding in part]
        return f"the loss is not finite at iteration {iteration}: {'; '.join(everywhere)}. {advice(last_good)}"


def _images(batch: Sequence[Mapping[str, Any]]) -> str:
    names = [f"image {item.get('image_id', '(no id)')} ({item.get('file_name', 'no file')})" for item in batch]
    return ", ".join(names)
