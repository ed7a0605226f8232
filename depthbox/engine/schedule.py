"""Learning rate as a function of the iteration, and rescaling of schedules to another batch size."""

from __future__ import annotations

import logging
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from detectron2.config import CfgNode
from torch.optim import Optimizer

# Keys that count iterations; keys that a config lacks are skipped.
ITERATION_KEYS = (
    "SOLVER.MAX_ITER",
    "SOLVER.STEPS",
    "SOLVER.WARMUP_ITERS",
    "SOLVER.CHECKPOINT_PERIOD",
    "TEST.EVAL_PERIOD",
    "MODEL.BOXINST.PAIRWISE.WARMUP_ITERS",
    "MODEL.DEPTH.WARMUP_ITERS",
    "MODEL.DISTILL.START_ITER",
    "MODEL.P2SEG.SEMANTIC.WARMUP_ITERS",
)
SCHEDULES = ("WarmupMultiStepLR", "WarmupCosineLR", "WarmupPolyLR")
RATE_KEYS = ("SOLVER.BASE_LR", "SOLVER.BASE_LR_END")


def build_lr_multiplier(cfg: CfgNode) -> Callable[[int], float]:
    """Build the factor on the learning rate as a function of the iteration, from Detectron2's SOLVER keys.

    The values equal those of ``detectron2.solver.build_lr_scheduler``, except for "WarmupPolyLR", which it lacks. The
    function has no state: a resumed run needs only the iteration.

    Args:
        cfg: SOLVER.LR_SCHEDULER_NAME ("WarmupMultiStepLR", "WarmupCosineLR" or "WarmupPolyLR"), MAX_ITER, STEPS, GAMMA,
            POLY_POWER, WARMUP_ITERS, WARMUP_FACTOR, WARMUP_METHOD ("linear" or "constant"), BASE_LR, BASE_LR_END.

    Returns:
        A function of the iteration, positive before MAX_ITER (from 0).

    Raises:
        ValueError: an unknown schedule or warm-up method.
    """
    solver = cfg.SOLVER
    name, method = solver.LR_SCHEDULER_NAME, solver.WARMUP_METHOD
    steps, gamma, max_iter = sorted(solver.STEPS), solver.GAMMA, solver.MAX_ITER
    warmup_iters, warmup_factor = min(solver.WARMUP_ITERS, max_iter), solver.WARMUP_FACTOR
    end = solver.get("BASE_LR_END", 0.0) / solver.BASE_LR
    if name not in SCHEDULES:
        raise ValueError(f"SOLVER.LR_SCHEDULER_NAME is one of {', '.join(SCHEDULES)}, not '{name}'")
    if method not in ("linear", "constant"):
        raise ValueError(f"SOLVER.WARMUP_METHOD is linear or constant, not '{method}'")

    def after_warmup(iteration: int) -> float:
        if name == "WarmupMultiStepLR":
            return gamma ** bisect_right(steps, iteration)
        if name == "WarmupPolyLR":
            return (1 - min(iteration / max_iter, 1.0)) ** solver.POLY_POWER
        return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * iteration / max_iter))

    def multiplier(iteration: int) -> float:
        if iteration >= warmup_iters:
            return after_warmup(iteration)
        start = warmup_factor * after_warmup(0)
        if method == "constant":
            return start
        return start + (after_warmup(warmup_iters) - start) * iteration / warmup_iters

    return multiplier


def scale_schedule(cfg: CfgNode) -> CfgNode:
    """Rescale learning rate and schedule linearly to the batch size.

    With r = SOLVER.IMS_PER_BATCH / SOLVER.REFERENCE_BATCH_SIZE, learning rates are multiplied by r, and numbers of
    iterations are divided by r. The schedule counted in images stays the same.

    Args:
        cfg: not changed. SOLVER.REFERENCE_BATCH_SIZE 0 means no rescaling.

    Returns:
        A new config. Its REFERENCE_BATCH_SIZE equals its IMS_PER_BATCH, so that rescaling it again changes nothing.

    Raises:
        ValueError: a batch size that is not positive, or a negative reference.
    """
    batch, reference = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.REFERENCE_BATCH_SIZE
    if batch < 1 or reference < 0:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH = {batch} must be positive, and "
            f"SOLVER.REFERENCE_BATCH_SIZE = {reference} positive or 0"
        )
    scaled = cfg.clone()
    if reference in (0, batch):
        return scaled
    ratio = batch / reference
    scaled.defrost()
    changes = []
    for key in (*RATE_KEYS, *ITERATION_KEYS):
        node, leaf = _find(scaled, key)
        if node is None:
            continue
        old = node[leaf]
        node[leaf] = old * ratio if key in RATE_KEYS else _scale_iterations(old, ratio)
        if node[leaf] != old:
            changes.append(f"  {key:36} {old} -> {node[leaf]}")
    scaled.SOLVER.REFERENCE_BATCH_SIZE = batch
    if cfg.is_frozen():
        scaled.freeze()
    logging.getLogger(__name__).info(
        "Schedule rescaled from batch size %d to %d:\n%s", reference, batch, "\n".join(changes)
    )
    return scaled


def _find(cfg: CfgNode, key: str) -> tuple[CfgNode | None, str]:
    *path, leaf = key.split(".")
    for part in path:
        if part not in cfg:
            return None, leaf
        cfg = cfg[part]
    return (cfg if leaf in cfg else None), leaf


def _scale_iterations(value: Any, ratio: float) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_scale_iterations(item, ratio) for item in value)
    return max(1, round(value / ratio)) if value > 0 else value


def set_learning_rate(optimizer: Optimizer, base_rates: Sequence[float], factor: float) -> float:
    """Set the learning rate of each parameter group, and return that of the largest group.

    Args:
        optimizer: changed in place.
        base_rates: learning rates of its groups without a schedule.
        factor: multiplier of this iteration.
    """
    for group, base in zip(optimizer.param_groups, base_rates, strict=True):
        group["lr"] = base * factor
    return max(optimizer.param_groups, key=lambda group: len(group["params"]))["lr"]
