"""One training run or evaluation, as executed by each of its processes."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import logging
import platform
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
from ..errors import UserError
from ..io.files import atomic_open, remove_stale
from ..io.folder_lock import lock_folder
from ..io.processes import raise_on_signals
from ..modeling.build import build_network
from ..reports.run_folder import note_run
from ..reports.training import PAGE, report_at_end
from .distillation import load_teacher
from .evaluation import check_evaluation_keys, check_test_data, evaluate_network, evaluate_networks
from .schedule import scale_schedule
from .signals import repeat_seconds
from .trainer import Trainer
from .writers.logs import LOGGED, open_log, raise_log_failure, setup_logging

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt, see malloc.h
_LARGEST_KEPT_BLOCK = 2**30  # bytes
_MEMORY_ADVICE = (
    "What helps: a smaller SOLVER.IMS_PER_BATCH, SOLVER.ACCUMULATION_STEPS above 1 (the same batch in parts), "
    "SOLVER.AMP.ENABLED True, or a smaller INPUT.MIN_SIZE_TRAIN; `nvidia-smi` lists other programs on the GPU."
)

__all__ = ["LOGGED", "evaluate", "open_log", "prepare_run", "run", "setup_logging", "write_run_files"]


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

    Raises:
        UserError: a mistake in config, data or files, another training run in OUTPUT_DIR, or too little GPU memory.
        Stopped: by SIGTERM, SIGINT or SIGHUP. Training finishes its step and writes a checkpoint before.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(raise_on_signals(repeat=repeat_seconds()))
        if not eval_only and comm.is_main_process():
            stack.enter_context(lock_folder(cfg.OUTPUT_DIR, "training run"))
            for folder in (Path(cfg.OUTPUT_DIR), Path(cfg.OUTPUT_DIR) / "inference"):
                remove_stale(folder, recursive=folder.name == "inference")
        try:
            results = _run(prepare_run(cfg, command), resume, eval_only, command)
        except torch.cuda.OutOfMemoryError as error:
            raise UserError(f"{str(error).splitlines()[0]} {_MEMORY_ADVICE}") from error
        raise_log_failure()
    return results


def _run(cfg: CfgNode, resume: bool, eval_only: bool, command: str) -> dict[str, Any]:
    register_from_config(cfg)
    if eval_only:
        results = evaluate(cfg, resume, on_start=open_log)
    else:
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume)
        results = trainer.train(on_start=partial(write_run_files, command=command, resume=resume))
        missing = not (trainer.was_complete and (Path(cfg.OUTPUT_DIR) / PAGE).is_file())
        if comm.is_main_process() and cfg.REPORT.ENABLED and missing:
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
