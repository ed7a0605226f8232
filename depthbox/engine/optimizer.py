"""Optimizer and gradient clipping from the SOLVER keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import nn

from .schedule import build_lr_multiplier, set_learning_rate

NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
)
CLIP_TYPES = ("value", "norm", "full_model")


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Build SGD, Adam or AdamW over the trainable parameters.

    Args:
        cfg: SOLVER.OPTIMIZER "SGD" (MOMENTUM, NESTEROV), "ADAM" or "ADAMW"; BASE_LR; WEIGHT_DECAY, and
            WEIGHT_DECAY_NORM for the parameters of norm layers, WEIGHT_DECAY_BIAS (None = WEIGHT_DECAY) and
            BIAS_LR_FACTOR for other biases; BACKBONE_MULTIPLIER on the learning rate of parameters under
            ``backbone.``.
        model: not wrapped in DistributedDataParallel.

    Raises:
        ValueError: an unknown optimizer, or a model without trainable parameters.
    """
    solver = cfg.SOLVER
    groups = group_parameters(cfg, model)
    if not groups:
        raise ValueError("the model has no trainable parameter")
    if solver.OPTIMIZER == "SGD":
        return torch.optim.SGD(groups, lr=solver.BASE_LR, momentum=solver.MOMENTUM, nesterov=solver.NESTEROV)
    if solver.OPTIMIZER == "ADAMW":
        return torch.optim.AdamW(groups, lr=solver.BASE_LR)
    if solver.OPTIMIZER == "ADAM":
        return torch.optim.Adam(groups, lr=solver.BASE_LR)
    raise ValueError(f"SOLVER.OPTIMIZER is SGD, ADAM or ADAMW, not '{solver.OPTIMIZER}'")


def group_parameters(cfg: CfgNode, model: nn.Module) -> list[dict[str, Any]]:
    """Group the trainable parameters into at most six groups: weights, norms and biases, of the backbone and the rest.

    The groups do not depend on values of the config, so that a run can be resumed with other values.
    """
    solver = cfg.SOLVER
    bias_decay = solver.WEIGHT_DECAY if solver.WEIGHT_DECAY_BIAS is None else solver.WEIGHT_DECAY_BIAS
    kinds = {
        "weight": (solver.BASE_LR, solver.WEIGHT_DECAY),
        "norm": (solver.BASE_LR, solver.WEIGHT_DECAY_NORM),
        "bias": (solver.BASE_LR * solver.BIAS_LR_FACTOR, bias_decay),
    }
    groups: dict[tuple[bool, str], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for prefix, module in model.named_modules():
        in_backbone = f"{prefix}.".startswith("backbone.")
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            kind = "norm" if isinstance(module, NORMS) else "bias" if name == "bias" else "weight"
            groups.setdefault((in_backbone, kind), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": kinds[kind][0] * (solver.BACKBONE_MULTIPLIER if in_backbone else 1.0),
            "weight_decay": kinds[kind][1],
        }
        for (in_backbone, kind), parameters in groups.items()
    ]


def build_clipper(cfg: CfgNode) -> Callable[[Sequence[nn.Parameter]], None] | None:
    """Build the function that clips gradients in place, or None if SOLVER.CLIP_GRADIENTS is off.

    Args:
        cfg: SOLVER.CLIP_GRADIENTS.CLIP_TYPE "value" (each entry to ±CLIP_VALUE), "norm" (each parameter's
            gradient to the norm CLIP_VALUE) or "full_model" (all gradients as one vector); NORM_TYPE.

    Raises:
        ValueError: an unknown CLIP_TYPE.
    """
    clip = cfg.SOLVER.CLIP_GRADIENTS
    if not clip.ENABLED:
        return None
    kind, value, norm_type = clip.CLIP_TYPE, clip.CLIP_VALUE, clip.NORM_TYPE
    if kind not in CLIP_TYPES:
        raise ValueError(f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is one of {CLIP_TYPES}, not '{kind}'")

    def clip_gradients(parameters: Sequence[nn.Parameter]) -> None:
        if kind == "value":
            torch.nn.utils.clip_grad_value_(parameters, value)
        elif kind == "full_model":
            torch.nn.utils.clip_grad_norm_(parameters, value, norm_type)
        else:
            for parameter in parameters:
                torch.nn.utils.clip_grad_norm_(parameter, value, norm_type)

    return clip_gradients


class OptimizerStep:
    """An optimizer step: the learning rate of its iteration, unscaled gradients, clipping, and the update.

    Args:
        cfg: SOLVER.
        optimizer: with the groups of ``group_parameters``.
        scaler: gradient scaler, perhaps disabled.
    """

    def __init__(self, cfg: CfgNode, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        self._optimizer, self._scaler = optimizer, scaler
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._base_rates = [group["lr"] for group in optimizer.param_groups]
        self._clip, self._factor = build_clipper(cfg), build_lr_multiplier(cfg)

    def set_learning_rate(self, iteration: int) -> float:
        """Set the learning rate of each group, and return that of the group with the most parameters."""
        return set_learning_rate(self._optimizer, self._base_rates, self._factor(iteration))

    def __call__(self) -> None:
        """Update the parameters by their gradients, which the scaler has scaled."""
        self._scaler.unscale_(self._optimizer)
        if self._clip is not None:
            self._clip(self._parameters)
        self._scaler.step(self._optimizer)
        self._scaler.update()
