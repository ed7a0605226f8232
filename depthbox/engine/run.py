"""One training or evaluation, as each of its processes runs it."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from detectron2.evaluation import verify_results
from detectron2.utils import comm

from ..data.datasets import register_from_config
from .checkpoint import CheckpointStore
from .resume import load_weights
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
        trainer.resume_or_load(resume)
        results = trainer.train()
    if comm.is_main_process() and cfg.TEST.EXPECTED_RESULTS:
        verify_results(cfg, results)
    return results


def evaluate(cfg: CfgNode, newest: bool) -> dict[str, Any]:
    """Evaluate MODEL.WEIGHTS, or the newest checkpoint in OUTPUT_DIR."""
    model = Trainer.build_model(cfg)
    state = CheckpointStore(cfg.OUTPUT_DIR).load_latest() if newest else None
    if state is not None:
        model.load_state_dict(state["model"])
    else:
        load_weights(model, cfg.MODEL.WEIGHTS)
    return Trainer.test(cfg, model)
