"""What a run does before it begins: logs, a copy of the config, a word about the machine."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info

from ..io.files import atomic_open
from .allocator import keep_freed_memory
from .schedule import scale_schedule

LOGGED = ("depthbox", "detectron2", "fvcore")


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
