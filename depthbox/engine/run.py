"""One training run or evaluation, as executed by each of its processes."""

from __future__ import annotations

import copy
import ctypes
import logging
import logging.handlers
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info

from ..checkpoint.store import CheckpointStore
from ..checkpoint.tensor_checks import load_exactly
from ..checkpoint.training_state import find_best_network
from ..checkpoint.weight_file import read_content
from ..checkpoint.weights import fetch_local_path, load_weights
from ..data.datasets import register_from_config
from ..data.loader import SampleError
from ..errors import PrintableFilter
from ..io.files import atomic_open
from ..modeling.build import build_network
from ..reports.run_folder import note_run
from ..reports.training import report_at_end
from .distillation import load_teacher
from .evaluation import check_evaluation_keys, check_test_data, evaluate_network, evaluate_networks
from .schedule import scale_schedule
from .trainer import Trainer

LOGGED = ("depthbox", "detectron2", "fvcore")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt, see malloc.h
_LARGEST_KEPT_BLOCK = 2**30  # bytes


def run(cfg: CfgNode, *, resume: bool = False, eval_only: bool = False, command: str = "") -> dict[str, Any]:
    """Train or evaluate a network; call it in every process (see ``launch``).

    OUTPUT_DIR is not changed before config, weights and annotations have been validated. Training then sets aside an
    earlier run in it (see ``checkpoint.earlier_runs``), unless ``resume``.

    Args:
        cfg: config of the run.
        resume: continue from (or evaluate) the newest checkpoint in OUTPUT_DIR; without one, use MODEL.WEIGHTS.
        eval_only: evaluate instead of training.
        command: command line of the run, for log and run.json.

    Returns:
        Results of the (last) evaluation on the main process, see ``evaluate_network``; empty on others.
    """
    cfg = prepare_run(cfg, command)
    register_from_config(cfg)
    if eval_only:
        results = evaluate(cfg, resume, on_start=open_log)
    else:
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume)
        results = trainer.train(on_start=partial(write_run_files, command=command, resume=resume))
        if comm.is_main_process() and cfg.REPORT.ENABLED:
            report_at_end(cfg.OUTPUT_DIR)
    if comm.is_main_process() and cfg.TEST.EXPECTED_RESULTS:
        verify_results(cfg, results)
    return results


def evaluate(cfg: CfgNode, newest: bool, on_start: Callable[[CfgNode], None]) -> dict[str, Any]:
    """Evaluate the networks of TEST.EVALUATE in MODEL.WEIGHTS or in the newest checkpoint.

    Args:
        cfg: config of the run.
        newest: evaluate the newest checkpoint in OUTPUT_DIR, if there is one.
        on_start: called with the config when weights and annotations are loaded.

    Raises:
        ValueError: TEST.EVALUATE asks for the teacher, and the checkpoint holds none.
    """
    check_evaluation_keys(cfg)
    student = build_network(cfg)
    state = CheckpointStore(cfg.OUTPUT_DIR).load_latest() if newest else None
    if state is not None:
        load_exactly(student, state["model"], f"the newest checkpoint in {cfg.OUTPUT_DIR}")
    else:
        load_weights(student, cfg.MODEL.WEIGHTS)
    choice = cfg.TEST.EVALUATE
    teacher = None
    if choice != "student":
        source = f"the newest checkpoint in {cfg.OUTPUT_DIR}" if state is not None else cfg.MODEL.WEIGHTS
        content = read_content(fetch_local_path(source)) if state is None else state
        best = find_best_network(content)
        if best is not None:  # the file has one network
            logging.getLogger(__name__).info("%s holds the %s alone, which is evaluated", source, best)
            choice = "student"
        else:
            teacher = copy.deepcopy(student)
            load_teacher(teacher, content, source)
    check_test_data(cfg)
    on_start(cfg)
    return evaluate_networks(partial(evaluate_network, cfg), student, teacher, choice)


def prepare_run(cfg: CfgNode, command: str) -> CfgNode:
    """Set up the process and its logging, and rescale the schedule; nothing is written to OUTPUT_DIR.

    Args:
        cfg: not changed.
        command: command line of the run, for the log.

    Returns:
        The config of the run: ``cfg`` with its schedule rescaled (see ``scale_schedule``).
    """
    setup_logging(comm.get_rank())
    cfg = scale_schedule(cfg)
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    if cfg.MODEL.DEVICE == "cpu":
        keep_freed_memory()
    if comm.is_main_process():
        processes = comm.get_world_size()
        logger = logging.getLogger(__name__)
        logger.debug("Environment:\n%s", collect_env_info())  # debug: only into the file
        logger.info("Run: %s", command or "from Python")
        logger.info(
            "%d process%s on %s, torch %s; log and config in %s",
            *(processes, "es" if processes > 1 else "", cfg.MODEL.DEVICE, torch.__version__, cfg.OUTPUT_DIR),
        )
    return cfg


def write_run_files(cfg: CfgNode, command: str, resume: bool) -> None:
    """Open log.txt and write config.yaml and run.json in OUTPUT_DIR; call it in every process."""
    open_log(cfg)
    if comm.is_main_process():
        with atomic_open(Path(cfg.OUTPUT_DIR) / "config.yaml") as file:
            file.write(cfg.dump().encode())
        note_run(cfg.OUTPUT_DIR, command, resume)


def setup_logging(rank: int = 0) -> None:
    """Log DepthBox's and Detectron2's messages to the console, and hold all of them for ``open_log``.

    A second call replaces the handlers of the first one.

    Args:
        rank: rank of this process; only rank 0 writes to the console.
    """
    handlers: list[logging.Handler] = [_HeldRecords()]
    if rank == 0:
        console = logging.StreamHandler(sys.stdout)
        console.setLevel(logging.INFO)
        console.setFormatter(_ConsoleFormatter(sys.stdout.isatty()))
        handlers.append(console)
    train_loop = logging.getLogger("detectron2.engine.train_loop")
    if not any(isinstance(known, _ExpectedErrors) for known in train_loop.filters):
        train_loop.addFilter(_ExpectedErrors())
    for name in LOGGED:
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        for old in list(logger.handlers):
            logger.removeHandler(old)
            old.close()
        for handler in handlers:
            logger.addHandler(handler)
    for handler in handlers:
        handler.addFilter(PrintableFilter())


def open_log(cfg: CfgNode) -> None:
    """Write the held messages and all later ones to OUTPUT_DIR/log.txt (``log.txt.rank<n>`` on other processes)."""
    rank, folder = comm.get_rank(), Path(cfg.OUTPUT_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(folder / ("log.txt" if rank == 0 else f"log.txt.rank{rank}"))
    file.setFormatter(logging.Formatter("[%(asctime)s] %(name)s %(levelname)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
    file.addFilter(PrintableFilter())
    held: list[_HeldRecords] = []
    for name in LOGGED:
        logger = logging.getLogger(name)
        held += [handler for handler in logger.handlers if isinstance(handler, _HeldRecords) and handler not in held]
        logger.addHandler(file)
    for handler in held:
        handler.setTarget(file)
        handler.close()  # hands the records over
        for name in LOGGED:
            logging.getLogger(name).removeHandler(handler)


class _ExpectedErrors(logging.Filter):
    """Filter of the traceback that Detectron2 logs for errors which end a run with one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], (SampleError, FloatingPointError)))


class _HeldRecords(logging.handlers.MemoryHandler):
    """Handler that keeps all records in memory until it has a target."""

    def __init__(self) -> None:
        super().__init__(capacity=sys.maxsize, flushLevel=sys.maxsize)


class _ConsoleFormatter(logging.Formatter):
    """Formatter of ``12:34:56 message``, with the level of warnings and errors, colored on a terminal."""

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
    """Let the C library reuse freed blocks below 1 GiB instead of returning them to the system.

    By default glibc maps each large tensor anew, and the kernel fills it with zeros, page by page. In training on the
    CPU this costs more than some of the arithmetic. In return, the memory use of the process never falls.

    Returns:
        Whether the option was set; False if the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BLOCK) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
