"""What a checkpoint holds of a trainer, and how a trainer takes it up again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import detectron2
import torch
import yaml
from torch.optim import Optimizer

from ..checkpoint.store import State

if TYPE_CHECKING:
    from .trainer import Trainer


def capture(trainer: Trainer) -> State:
    """Everything that a resumed run needs, as plain data and tensors.

    Random generators are not part of it: they are seeded anew before each step (see
        ``step.seed_everything``). Nor is
    the schedule: it is a function of the iteration.
    """
    progress = trainer.state_dict()
    return {
        "model": trainer.network.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "grad_scaler": trainer.scaler.state_dict(),
        "trainer": progress,
        "iteration": progress["iteration"],  # where Detectron2's own tools look for it
        "seed": trainer.seed,
        "config": trainer.cfg.dump(),
        "versions": {"torch": torch.__version__.split("+")[0], "detectron2": detectron2.__version__},
    }


def restore(trainer: Trainer, state: State) -> None:
    """Put a trainer where ``capture`` found another; its next iteration is the one after.

    The config at hand rules where it differs from the checkpoint's; differences are logged.

    Raises:
        RuntimeError: the checkpoint's network or optimiser does not fit.
    """
    differences = config_differences(state.get("config", ""), trainer.cfg.dump())
    if differences:
        logging.getLogger(__name__).warning(
            "The config is not the one that this run was started with; from here on it is:\n  %s",
            "\n  ".join(differences),
        )
    try:
        trainer.network.load_state_dict(state["model"])
        _restore_optimizer(trainer.optimizer, state["optimizer"])
    except (RuntimeError, ValueError) as error:
        changed = "; ".join(differences) or "the code"
        raise RuntimeError(
            f"the checkpoint {trainer.store.last_good} does not fit the network: {error}\n"
            f"Changed since: {changed}. To train another network from these weights give MODEL.WEIGHTS and a "
            "new OUTPUT_DIR, without --resume."
        ) from error
    if state["grad_scaler"] and trainer.scaler.is_enabled():
        trainer.scaler.load_state_dict(state["grad_scaler"])
    trainer.seed = state["seed"]
    progress = dict(state["trainer"])
    if trainer.distillation is None and "SelfDistillation" in progress.get("hooks", {}):
        progress["hooks"] = {k: v for k, v in progress["hooks"].items() if k != "SelfDistillation"}
        logging.getLogger(__name__).warning(
            "The checkpoint %s holds a teacher, but MODEL.DISTILL.ENABLED is False: the student goes on without it",
            trainer.store.last_good,
        )
    trainer.load_state_dict(progress)
    trainer.start_iter = trainer.iter + 1


def config_differences(old: str, new: str) -> list[str]:
    """Keys but OUTPUT_DIR whose values differ between two dumped configs, as ``KEY old -> new``."""
    before, after = (_flatten(yaml.safe_load(text) or {}) for text in (old, new))
    keys = [key for key in sorted(before.keys() | after.keys()) if key != "OUTPUT_DIR"]
    missing = "(none)"
    return [
        f"{key} {before.get(key, missing)} -> {after.get(key, missing)}"
        for key in keys
        if before.get(key, missing) != after.get(key, missing)
    ]


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _restore_optimizer(optimizer: Optimizer, state: State) -> None:
    """Take over momenta, but keep the rates and decays of the config at hand."""
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, setting in zip(optimizer.param_groups, settings, strict=True):
        group.update(setting)
