"""Content of the checkpoints of a training run: reading, validation, and the EMA teacher in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import UserError
from .divergence import Vitals, read_vitals
from .tensor_checks import require_tensors
from .weight_file import read_content, select_weights
from .weights import fetch_local_path

State = dict[str, Any]
TEACHER_HOOK = "SelfDistillation"  # the hook in the trainer's state whose state holds the teacher
MAX_ITERATIONS = 10**9
# Entries of a checkpoint and their types. Small checkpoints of other tools may lack the optional ones.
_REQUIRED: dict[str, type] = {"model": dict, "optimizer": dict, "trainer": dict}
_OPTIONAL: dict[str, type] = {"grad_scaler": dict, "seed": int, "config": str, "iteration": int}


class CheckpointError(UserError):
    """Error for a checkpoint from which training cannot be resumed."""


def read_checkpoint(path: Path) -> State:
    """Read a checkpoint of a training run to the CPU, and validate its structure.

    Raises:
        ValueError: the file is damaged, or not a checkpoint of a training run.
        OSError: the file cannot be read; it may be sound.
    """
    state = read_content(os.fspath(path))
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds a {type(state).__name__}: not a checkpoint of a DepthBox training run")
    for key, kind in _REQUIRED.items():
        if key not in state:
            raise CheckpointError(f"{path}: it has no '{key}': not a checkpoint of a DepthBox training run")
        _check_type(state, key, kind, path)
    for key, kind in _OPTIONAL.items():
        if key in state:
            _check_type(state, key, kind, path)
    _check_progress(state, path)
    require_tensors(state["model"], str(path))
    teacher = find_teacher(state)
    if teacher is not None:
        require_tensors(teacher, str(path), "teacher")
    return state


def _check_type(state: Mapping[str, Any], key: str, kind: type, path: Path) -> None:
    if not isinstance(state[key], kind) or isinstance(state[key], bool):
        found = type(state[key]).__name__
        raise CheckpointError(f"{path}: its '{key}' is of type {found}, not {kind.__name__}: the checkpoint is damaged")


def _check_progress(state: State, path: Path) -> None:
    progress = state["trainer"]
    done = progress.get("iteration")
    if not isinstance(done, int) or isinstance(done, bool) or not 0 <= done <= MAX_ITERATIONS:
        raise CheckpointError(f"{path}: its iteration is not a number of a training run: the checkpoint is damaged")
    if state.get("iteration", done) != done:
        raise CheckpointError(
            f"{path}: it names two iterations, {done} and {state['iteration']}: the checkpoint is damaged"
        )
    if state.get("seed", 0) < 0:
        raise CheckpointError(f"{path}: its seed is negative: the checkpoint is damaged")
    hooks = progress.get("hooks", {})
    if not isinstance(hooks, dict) or not all(isinstance(k, str) and isinstance(v, dict) for k, v in hooks.items()):
        raise CheckpointError(f"{path}: the states of its hooks are not a dict by name: the checkpoint is damaged")


def teacher_state(source: str | os.PathLike[str]) -> dict[str, Tensor] | None:
    """Return the state dict of the EMA teacher in a checkpoint, on the CPU.

    Args:
        source: path or URL of a checkpoint, or of a weight file of another project.

    Returns:
        None if the file is sound and holds no teacher: a checkpoint from before MODEL.DISTILL.START_ITER, a training
        run without distillation, a ``model_best.pth`` with the best student, or bare weights.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: the file cannot be read, or the URL cannot be fetched.
        ValueError: the file is damaged or holds no weights; the message names it.
    """
    path = fetch_local_path(os.fspath(source))
    content = read_content(path)
    select_weights(content, path)  # raises for a file of another kind
    teacher = find_teacher(content)
    return None if teacher is None else require_tensors(teacher, os.fspath(source), "teacher")


def find_best_network(content: Any) -> str | None:
    """Return which network ``model_best.pth`` holds, "student" or "teacher"; None for the content of another file."""
    best = content.get("best") if isinstance(content, Mapping) else None
    if not isinstance(best, Mapping):
        return None
    return "teacher" if best.get("network") == "teacher" else "student"


def find_teacher(state: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """Return the teacher's state dict in the content of a checkpoint, None if it holds no teacher.

    ``model_best.pth`` holds the network with the best score, and records whether this is the teacher.
    """
    if find_best_network(state) == "teacher":
        return state.get("model")
    trainer = state.get("trainer")
    hooks = trainer.get("hooks") if isinstance(trainer, Mapping) else None
    saved = hooks.get(TEACHER_HOOK) if isinstance(hooks, Mapping) else None
    return saved.get("teacher") if isinstance(saved, Mapping) else None


def find_vitals(path: Path) -> Vitals | None:
    """Return the quantities of a checkpoint, None if it cannot be read."""
    try:
        return read_vitals(read_checkpoint(path))
    except (ValueError, OSError):
        return None
