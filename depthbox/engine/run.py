"""One training or evaluation, as each of its processes runs it."""

from __future__ import annotations

import copy
import ctypes
import logging
import os
import platform
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info

from ..checkpoint.store import CheckpointStore
from ..checkpoint.weights import load_weights
from ..data.datasets import register_from_config
from ..io.files import atomic_open
from ..modeling.build import build_network
from ..reports.run_folder import note_run
from ..reports.training import report_at_end
from .distillation import evaluate_networks, load_teacher
from .schedule import scale_schedule
from .trainer import Trainer

LOGGED = ("depthbox", "detectron2", "fvcore")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, see malloc.h
_LARGEST = 2**30


def run(cfg: CfgNode, *, resume: bool = False, eval_only: bool = False, command: str = "") -> dict[str, Any]:
    """Train or evaluate as a config says; call it in every process (see ``launch``).

    Args:
        cfg: of the run.
        resume: go on from (or evaluate) the newest checkpoint in OUTPUT_DIR; where there is none,
            MODEL.WEIGHTS.
        eval_only: evaluate instead of training.
        command: how the run was called, for the log.

    Returns:
        Results of the (last) evaluation on the main process, see ``Trainer.test``; empty on others.
    """
    cfg = prepare_run(cfg, command, keep_config=not eval_only)
    register_from_config(cfg)
    if eval_only:
        results = evaluate(cfg, resume)
    else:
        trainer = Trainer(cfg)
        if comm.is_main_process():
            note_run(cfg.OUTPUT_DIR, command, resume)
        trainer.resume_or_load(resume)
        results = trainer.train()
        if comm.is_main_process() and cfg.REPORT.ENABLED:
            report_at_end(cfg.OUTPUT_DIR)
    if comm.is_main_process() and cfg.TEST.EXPECTED_RESULTS:
        verify_results(cfg, results)
    return results


def evaluate(cfg: CfgNode, newest: bool) -> dict[str, Any]:
    """Evaluate MODEL.WEIGHTS, or the newest checkpoint in OUTPUT_DIR; TEST.EVALUATE says which of its networks.

    Raises:
        ValueError: the teacher is asked for, and there is none.
    """
    student = build_network(cfg)
    state = CheckpointStore(cfg.OUTPUT_DIR).load_latest() if newest else None
    if state is not None:
        student.load_state_dict(state["model"])
    else:
        load_weights(student, cfg.MODEL.WEIGHTS)
    teacher = None
    if cfg.TEST.EVALUATE != "student":
        source = f"the newest checkpoint in {cfg.OUTPUT_DIR}" if state is not None else cfg.MODEL.WEIGHTS
        teacher = copy.deepcopy(student)
        load_teacher(teacher, state, source)
    return evaluate_networks(partial(Trainer.test, cfg), student, teacher, cfg.TEST.EVALUATE)


def prepare_run(cfg: CfgNode, command: str, *, keep_config: bool = True) -> CfgNode:
    """Set up logging, rescale the schedule and write config.yaml into OUTPUT_DIR; call it in every process.

    Args:
        cfg: not changed.
        command: how the run was called, for the log.
        keep_config: whether to write config.yaml (an evaluation must not replace that of the training).

    Returns:
        The config of the run: ``cfg`` with its schedule rescaled (see ``scale_schedule``).
    """
    rank = comm.get_rank()
    folder = Path(cfg.OUTPUT_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    setup_logging(folder, rank)
    cfg = scale_schedule(cfg)
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    if cfg.MODEL.DEVICE == "cpu":
        keep_freed_memory()
    if rank:
        return cfg
    if keep_config:
        with atomic_open(folder / "config.yaml") as file:
            file.write(cfg.dump().encode())
    logger = logging.getLogger(__name__)
    logger.debug("Environment:\n%s", collect_env_info())  # debug: into the file only
    logger.info("Run: %s", command or "from Python")
    logger.info(
        "%d process%s on %s, torch %s; log and config in %s",
        comm.get_world_size(),
        "es" if comm.get_world_size() > 1 else "",
        cfg.MODEL.DEVICE,
        torch.__version__,
        folder,
    )
    return cfg


def setup_logging(folder: str | os.PathLike[str] | None = None, rank: int = 0) -> None:
    """Send our and Detectron2's messages to the console (short) and into ``<folder>/log.txt`` (all).

    Calling it again replaces what an earlier call set up.

    Args:
        folder: made if missing; None = console only.
        rank: of this process; only rank 0 writes to the console, others write to ``log.txt.rank<n>``.
    """
    handlers: list[logging.Handler] = []
    if rank == 0:
        console = logging.StreamHandler(sys.stdout)
        console.setLevel(logging.INFO)
        console.setFormatter(_ConsoleFormatter(sys.stdout.isatty()))
        handlers.append(console)
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(Path(folder) / ("log.txt" if rank == 0 else f"log.txt.rank{rank}"))
        file.setFormatter(logging.Formatter("[%(asctime)s] %(name)s %(levelname)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
        handlers.append(file)
    for name in LOGGED:
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        for old in list(logger.handlers):
            logger.removeHandler(old)
            old.close()
        for handler in handlers:
            logger.addHandler(handler)


class _ConsoleFormatter(logging.Formatter):
    """``12:34:56 message``, with the level where it is a warning or worse, in colour on a terminal."""

    def __init__(self, color: bool) -> None:
        super().__init__("%(message)s", "%H:%M:%S")
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        time = self.formatTime(record, self.datefmt)
        if record.levelno < logging.WARNING:
            return f"{time} {text}"
        level = f"\033[1;31m{record.levelname}\033[0m" if self._color else record.levelname
        return f"{time} {level} {text}"


def keep_freed_memory() -> bool:
    """Let the C library keep freed blocks below 1 GiB for the next tensors instead of giving them back at once.

    By default glibc maps each large tensor anew, and the kernel fills it with zeros, page by page: in a training on the
    CPU that costs more than some of the arithmetic. The price: the process keeps the memory of its largest moment.

    Returns:
        Whether it was set; False where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
