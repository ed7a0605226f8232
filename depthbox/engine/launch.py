"""Start of one process per GPU, or of several on the CPU, as one process group."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.utils import comm

from ..config.loading import ConfigError

TIMEOUT = timedelta(minutes=30)


def launch(
    main: Callable[[], Any],
    *,
    num_processes: int = 1,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str = "auto",
    device: str = "cuda",
) -> None:
    """Run ``main()`` in every process of a training run.

    Under ``torchrun`` (RANK and WORLD_SIZE are set) this process is one of the group, and the counts are ignored.
    Otherwise a single process runs here, and several are started. They end with this one, even if it is killed.

    Args:
        main: a function of a module, or a ``functools.partial`` of one; it is pickled for other processes.
        num_processes: number on this machine; one per GPU, or any number on the CPU.
        num_machines, machine_rank: for training on several machines.
        dist_url: rendezvous of the processes, as ``tcp://host:port``; "auto" on one machine.
        device: MODEL.DEVICE; decides between NCCL (cuda) and gloo (cpu).

    Raises:
        ConfigError: impossible counts, too few GPUs, or several machines without ``dist_url``.
    """
    device_type = torch.device(device).type
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        _check_gpus(device_type, local_rank + 1)
        _join(main, "env://", int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), local_rank, device_type)
        return
    if num_processes < 1 or not 0 <= machine_rank < num_machines:
        raise ConfigError(
            f"--num-gpus {num_processes} must be at least 1, and --machine-rank {machine_rank} below "
            f"--num-machines {num_machines}"
        )
    _check_gpus(device_type, num_processes)
    world_size = num_processes * num_machines
    if world_size == 1:
        main()
        return
    if dist_url == "auto" and num_machines > 1:
        raise ConfigError("training on several machines needs --dist-url tcp://<address of machine 0>:<free port>")
    with tempfile.TemporaryDirectory(prefix="depthbox-launch-") as folder:
        url = f"file://{folder}/rendezvous" if dist_url == "auto" else dist_url
        job = (main, url, world_size, num_processes, machine_rank, device_type)
        mp.spawn(_worker, job, nprocs=num_processes)


def _worker(
    local_rank: int,
    main: Callable[[], Any],
    url: str,
    world_size: int,
    num_processes: int,
    machine_rank: int,
    device_type: str,
) -> None:
    _die_with_parent()
    if device_type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // num_processes))
    rank = machine_rank * num_processes + local_rank
    _join(main, url, rank, world_size, local_rank, device_type, num_processes)


def _join(
    main: Callable[[], Any],
    url: str,
    rank: int,
    world_size: int,
    local_rank: int,
    device_type: str,
    num_processes: int | None = None,
) -> None:
    """Join the process group, run ``main``, and leave the group."""
    if device_type == "cuda":
        torch.cuda.set_device(local_rank)
    backend = "nccl" if device_type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=url, rank=rank, world_size=world_size, timeout=TIMEOUT)
    try:
        # Newer Detectron2 needs the group of processes on this machine; 0.5 has no public function for it.
        create_local_group = getattr(comm, "create_local_process_group", None)
        if create_local_group is not None:
            create_local_group(num_processes or int(os.environ.get("LOCAL_WORLD_SIZE", world_size)))
        main()
    finally:
        dist.destroy_process_group()


def _check_gpus(device_type: str, wanted: int) -> None:
    if device_type != "cuda":
        return
    if not torch.cuda.is_available():
        raise ConfigError("MODEL.DEVICE is cuda, but no GPU is available; add MODEL.DEVICE cpu to run on the CPU")
    if wanted > torch.cuda.device_count():
        raise ConfigError(f"{wanted} processes need one GPU each, but this machine has {torch.cuda.device_count()}")


def _die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies: an orphan must not continue to write checkpoints."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
