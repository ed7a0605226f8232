"""Capture of a training run's state for checkpoints, and its restoration."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import detectron2
import torch
from detectron2.config import CfgNode
from torch import nn
from torch.optim import Optimizer

from ..checkpoint.tensor_checks import load_exactly
from ..checkpoint.training_state import TEACHER_HOOK, CheckpointError, State, find_teacher
from ..distillation import has_teacher
from ..io.yaml_files import parse_yaml

_MAX_CONFIG = 10_000  # keys


@dataclass(frozen=True)
class TrainingParts:
    """Objects of a training run whose state a checkpoint holds.

    Attributes:
        network: the network, not wrapped in DistributedDataParallel.
        optimizer: its optimizer.
        scaler: gradient scaler, perhaps disabled.
        cfg: config of the run.
    """

    network: nn.Module
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    cfg: CfgNode


def capture(parts: TrainingParts, progress: Mapping[str, Any], seed: int) -> State:
    """Return the complete state of a training run, as plain data and tensors.

    The state of random generators is not included, because they are seeded before each step (see
    ``step.seed_everything``). The schedule is not included either, because it is a function of the iteration.

    Args:
        parts: of the run.
        progress: ``state_dict`` of the trainer: the iteration, and the state of the hooks.
        seed: of the run.
    """
    return {
        "model": parts.network.state_dict(),
        "optimizer": parts.optimizer.state_dict(),
        "grad_scaler": parts.scaler.state_dict(),
        "trainer": progress,
        "iteration": progress["iteration"],  # read by Detectron2's own tools
        "seed": seed,
        "config": parts.cfg.dump(),
        "versions": {"torch": torch.__version__.split("+")[0], "detectron2": detectron2.__version__},
    }


def restore(parts: TrainingParts, state: State, source: Path | None) -> dict[str, Any]:
    """Load the state of a checkpoint into the parts of a training run.

    The current config applies where it differs from that of the checkpoint; differences are logged.

    Args:
        parts: of the run; network, optimizer and scaler are changed in place.
        state: of ``capture``.
        source: path of the checkpoint, for messages.

    Returns:
        The progress for ``load_state_dict`` of the trainer.

    Raises:
        CheckpointError: network, optimizer or teacher of the checkpoint do not fit.
    """
    differences = compare_configs(state.get("config", ""), parts.cfg.dump())
    if differences:
        logging.getLogger(__name__).warning(
            "The config differs from that of the checkpoint; the current values apply:\n  %s",
            "\n  ".join(differences),
        )
    try:
        load_exactly(parts.network, state["model"], str(source))
        _check_teacher(state)
        _restore_optimizer(parts.optimizer, state["optimizer"])
        if state.get("grad_scaler") and parts.scaler.is_enabled():
            parts.scaler.load_state_dict(state["grad_scaler"])
    except (RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        changed = "; ".join(differences) or "the code"
        raise CheckpointError(
            f"the checkpoint {source} does not fit the network: {' '.join(str(error).split())[:600]} "
            f"Changed since: {changed[:600]}. To train another network from these weights give MODEL.WEIGHTS and a "
            "new OUTPUT_DIR, without --resume."
        ) from error
    progress = dict(state["trainer"])
    if not has_teacher(parts.cfg) and TEACHER_HOOK in progress.get("hooks", {}):
        progress["hooks"] = {k: v for k, v in progress["hooks"].items() if k != TEACHER_HOOK}
        logging.getLogger(__name__).warning(
            "The checkpoint %s holds a teacher, but MODEL.DISTILL.ENABLED is False (for P2Seg: the class map is not "
            "learned): training continues without it",
            source,
        )
    return progress


def check_length(done: int, max_iter: int, source: Path | None) -> None:
    """Refuse a checkpoint with more iterations than the run has.

    Args:
        done: iterations of the checkpoint.
        max_iter: SOLVER.MAX_ITER, rescaled to the batch size.
        source: path of the checkpoint, for the message.

    Raises:
        CheckpointError: there are more.
    """
    if done > max_iter:
        raise CheckpointError(
            f"the checkpoint {source} has {done} iterations, but the run ends after {max_iter} (SOLVER.MAX_ITER): "
            "raise SOLVER.MAX_ITER, or evaluate the checkpoint with depthbox eval"
        )


def compare_configs(old: str, new: str) -> list[str]:
    """Compare two dumped configs.

    Returns:
        ``KEY old -> new`` for each key with different values, except OUTPUT_DIR.
    """
    before, after = (_flatten_text(text) for text in (old, new))
    keys = [key for key in sorted(before.keys() | after.keys()) if key != "OUTPUT_DIR"]
    missing = "(none)"
    return [
        f"{key} {before.get(key, missing)} -> {after.get(key, missing)}"
        for key in keys
        if before.get(key, missing) != after.get(key, missing)
    ]


def _flatten_text(text: str) -> dict[str, Any]:
    """Return the keys of a dumped config, {} if the text is something else."""
    try:
        tree = parse_yaml(text, "the config of the checkpoint")
        return _flatten(tree) if isinstance(tree, dict) else {}
    except ValueError:
        return {}


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if len(flat) > _MAX_CONFIG:
            raise ValueError("too many keys")
        if isinstance(value, dict) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _check_teacher(state: State) -> None:
    """Require that the teacher has the names and shapes of the student, before training starts."""
    teacher, model = find_teacher(state), state["model"]
    if teacher and {k: v.shape for k, v in teacher.items()} != {k: v.shape for k, v in model.items()}:
        raise ValueError("its teacher has other tensors than its student.")


def _check_momenta(optimizer: Optimizer, state: State) -> None:
    """Require that each momentum is a number or a tensor of the shape of its parameter."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    indices = [index for group in state["param_groups"] for index in group["params"]]
    for index, parameter in zip(indices, parameters, strict=True):
        for name, value in state["state"].get(index, {}).items():
            tensor = isinstance(value, torch.Tensor) and tuple(value.shape) in ((), tuple(parameter.shape))
            if not tensor and not isinstance(value, int | float | None):
                raise ValueError(f"{name} of parameter {index} of the optimizer has another shape or type.")


def _restore_optimizer(optimizer: Optimizer, state: State) -> None:
    """Load momenta, but keep learning rates and weight decays of the current config."""
    _check_momenta(optimizer, state)
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, setting in zip(optimizer.param_groups, settings, strict=True):
        group.update(setting)
