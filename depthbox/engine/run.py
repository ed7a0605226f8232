"""One training or evaluation, as each of its processes runs it."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from detectron2.config import CfgNode
from detectron2.evaluation import verify_results
from detectron2.utils import comm

from ..checkpoint.store import CheckpointStore
from ..checkpoint.weights import load_weights
from ..data.datasets import register_from_config
from ..reports.run_folder import note_run
from ..reports.training import report_at_end
from .distillation import evaluate_networks, load_teacher
from .setup import prepare_run
from .trainer import Trainer


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
    student = Trainer.build_model(cfg)
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
