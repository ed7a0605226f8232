"""Start of one process per GPU, or of several on the CPU, as one process group."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..config.loading import ConfigError
from .processes import GroupMember, end_rank, join_and_run, run_ranks

_RANK_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@dataclass(frozen=True)
class OuterGroup:
    """Place of this process in a group that torchrun started.

    Attributes:
        rank: index of this process among all.
        world_size: number of all processes.
        local_rank: index on this machine.
        local_world_size: number on this machine; None if it is unknown.
    """

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int | None


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

    Under ``torchrun`` this process is one of the group, and ``num_machines`` is ignored. Otherwise a single process
    runs here, and several are started. They end with this one, even if it is killed, and all end when one fails.

    Args:
        main: a function of a module, or a ``functools.partial`` of one; it is pickled for other processes.
        num_processes: number on this machine; one per GPU, or any number on the CPU.
        num_machines, machine_rank: for training on several machines.
        dist_url: rendezvous of the processes, as ``tcp://host:port``; "auto" on one machine.
        device: MODEL.DEVICE; decides between NCCL (cuda) and gloo (cpu).

    Raises:
        ConfigError: impossible counts, too few GPUs, several machines without ``dist_url``, or contradictory variables
            of the environment.
        RankError: one of several processes failed; the message names it and the cause.
        Stopped: a signal ended all processes.
    """
    device_type = torch.device(device).type
    outer = find_outer_group(num_processes)
    if outer is not None:
        _check_gpus(device_type, outer.local_rank + 1)
        member = GroupMember(
            "env://", outer.rank, outer.world_size, outer.local_rank, outer.local_world_size, device_type
        )
        try:
            join_and_run(main, member)
        except BaseException as error:
            end_rank(error, member)
        return
    if num_processes < 1 or not 0 <= machine_rank < num_machines:
        raise ConfigError(
            f"--num-gpus {num_processes} must be at least 1, and --machine-rank {machine_rank} below "
            f"--num-machines {num_machines}"
        )
    _check_gpus(device_type, num_processes)
    if num_processes * num_machines == 1:
        main()
        return
    if dist_url == "auto" and num_machines > 1:
        raise ConfigError("training on several machines needs --dist-url tcp://<address of machine 0>:<free port>")
    run_ranks(main, num_processes, num_machines, machine_rank, dist_url, device_type)


def find_outer_group(num_processes: int = 1, environment: Mapping[str, str] | None = None) -> OuterGroup | None:
    """Return the place of this process in a group of torchrun, None without torchrun.

    The variables RANK and WORLD_SIZE alone do not count: schedulers set them too, for their own purposes.

    Args:
        num_processes: --num-gpus.
        environment: None = that of this process.

    Raises:
        ConfigError: the variables contradict --num-gpus or one another.
    """
    values = os.environ if environment is None else environment
    if "RANK" not in values or "WORLD_SIZE" not in values:
        return None
    named = " ".join(f"{name}={values[name]}" for name in _RANK_NAMES if name in values)
    torchrun = "TORCHELASTIC_RUN_ID" in values
    complete = all(name in values for name in ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK"))
    if not torchrun and not (complete and num_processes == 1):
        if (values["RANK"], values["WORLD_SIZE"], num_processes) == ("0", "1", 1):
            return None
        raise ConfigError(
            f"the environment holds {named}, which do not come from torchrun{_format_count(num_processes)}. Start the "
            "processes with torchrun, or remove the variables: env -u RANK -u WORLD_SIZE -u LOCAL_RANK depthbox ..."
        )
    rank, world_size = _read_count(values, "RANK"), _read_count(values, "WORLD_SIZE")
    local_rank = _read_count(values, "LOCAL_RANK") if "LOCAL_RANK" in values else 0
    local_size = _read_count(values, "LOCAL_WORLD_SIZE") if "LOCAL_WORLD_SIZE" in values else None
    if rank >= world_size or (local_size is not None and local_rank >= local_size):
        raise ConfigError(f"the environment holds {named}: a rank must be below the number of processes")
    if num_processes > 1 and num_processes != (local_size or world_size):
        raise ConfigError(
            f"torchrun started {local_size or world_size} processes here ({named}), but --num-gpus is {num_processes}: "
            "leave out --num-gpus under torchrun"
        )
    return OuterGroup(rank, world_size, local_rank, local_size)


def _format_count(num_processes: int) -> str:
    return f", and --num-gpus is {num_processes}" if num_processes > 1 else ""


def _read_count(values: Mapping[str, str], name: str) -> int:
    if not values[name].isdecimal():
        raise ConfigError(f"the variable {name} of the environment is '{values[name]}', not a number of a process")
    return int(values[name])


def _check_gpus(device_type: str, wanted: int) -> None:
    if device_type != "cuda":
        return
    if not torch.cuda.is_available():
        raise ConfigError("MODEL.DEVICE is cuda, but no GPU is available; add MODEL.DEVICE cpu to run on the CPU")
    if wanted > torch.cuda.device_count():
        raise ConfigError(f"{wanted} processes need one GPU each, but this machine has {torch.cuda.device_count()}")
