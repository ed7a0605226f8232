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

from ..checkpoint.store import TEACHER_HOOK, State
from ..io.yaml_files import parse_yaml


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
        RuntimeError: network or optimizer of the checkpoint do not fit.
    """
    differences = compare_configs(state.get("config", ""), parts.cfg.dump())
    if differences:
        logging.getLogger(__name__).warning(
            "The config differs from that of the checkpoint; the current values apply:\n  %s",
            "\n  ".join(differences),
        )
    try:
        parts.network.load_state_dict(state["model"])
        _restore_optimizer(parts.optimizer, state["optimizer"])
    except (RuntimeError, ValueError) as error:
        changed = "; ".join(differences) or "the code"
        raise RuntimeError(
            f"the checkpoint {source} does not fit the network: {error}\n"
            f"Changed since: {changed}. To train another network from these weights give MODEL.WEIGHTS and a "
            "new OUTPUT_DIR, without --resume."
        ) from error
    if state["grad_scaler"] and parts.scaler.is_enabled():
        parts.scaler.load_state_dict(state["grad_scaler"])
    progress = dict(state["trainer"])
    if not parts.cfg.MODEL.DISTILL.ENABLED and TEACHER_HOOK in progress.get("hooks", {}):
        progress["hooks"] = {k: v for k, v in progress["hooks"].items() if k != TEACHER_HOOK}
        logging.getLogger(__name__).warning(
            "The checkpoint %s holds a teacher, but MODEL.DISTILL.ENABLED is False: training continues without it",
            source,
        )
    return progress


def compare_configs(old: str, new: str) -> list[str]:
    """Compare two dumped configs.

    Returns:
        ``KEY old -> new`` for each key with different values, except OUTPUT_DIR.
    """
    before, after = (_flatten(_parse_config(text)) for text in (old, new))
    keys = [key for key in sorted(before.keys() | after.keys()) if key != "OUTPUT_DIR"]
    missing = "(none)"
    return [
        f"{key} {before.get(key, missing)} -> {after.get(key, missing)}"
        for key in keys
        if before.get(key, missing) != after.get(key, missing)
    ]


def _parse_config(text: str) -> dict[str, Any]:
    tree = parse_yaml(text, "the config of the checkpoint") if isinstance(text, str) else None
    return tree if isinstance(tree, dict) else {}


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _restore_optimizer(optimizer: Optimizer, state: State) -> None:
    """Load momenta, but keep learning rates and weight decays of the current config."""
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, setting in zip(optimizer.param_groups, settings, strict=True):
        group.update(setting)
