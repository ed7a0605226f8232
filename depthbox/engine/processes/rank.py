"""One process of a group: joining it, and ending without waiting for the others."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from detectron2.utils import comm

from ...errors import MISTAKE
from ...io.processes import STOP_SIGNALS, die_with_parent, raise_on_signals
from ..signals import GROUP_REPEAT_SECONDS
from .reports import GroupMember, make_report, print_report, report_path, write_report

TIMEOUT = timedelta(minutes=30)


def run_rank(main: Callable[[], Any], member: GroupMember, folder: Path, parent: int) -> None:
    """Run ``main()`` as one of the processes that ``run_ranks`` started.

    Args:
        main: see ``launch``.
        member: place of this process.
        folder: folder for the report of a failure.
        parent: process id of the launcher.
    """
    die_with_parent(parent)
    try:
        with raise_on_signals(repeat=GROUP_REPEAT_SECONDS):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            if member.device_type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
                torch.set_num_threads(max(1, torch.get_num_threads() // (member.local_world_size or 1)))
            join_and_run(main, member)
    except BaseException as error:
        end_rank(error, member, folder)


def join_and_run(main: Callable[[], Any], member: GroupMember) -> None:
    """Join the process group, run ``main``, and leave the group.

    After an error the group is not left: that would wait for processes which wait in a collective.
    """
    if member.device_type == "cuda":
        torch.cuda.set_device(member.local_rank)
    backend = "nccl" if member.device_type == "cuda" else "gloo"
    dist.init_process_group(
        backend, init_method=member.url, rank=member.rank, world_size=member.world_size, timeout=TIMEOUT
    )
    # Newer Detectron2 needs the group of processes on this machine; 0.5 has no public function for it.
    create_local_group = getattr(comm, "create_local_process_group", None)
    if create_local_group is not None:
        create_local_group(member.local_world_size or member.world_size)
    main()
    dist.destroy_process_group()


def end_rank(error: BaseException, member: GroupMember, folder: Path | None = None) -> NoReturn:
    """End this process at once after an error, without waiting for other processes.

    Args:
        error: the error.
        member: place of this process.
        folder: folder for the report, which the launcher shows; None prints it here.
    """
    report = make_report(error, member.rank)
    logging.getLogger("depthbox").debug("rank %d failed", member.rank, exc_info=error)
    if folder is None or not write_report(report_path(folder, member), report):
        print_report(report, member.world_size)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(128 + report.number if report.number else MISTAKE if report.kind == "mistake" else 1)
