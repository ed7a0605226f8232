"""Choice of the labeler that turns a batch into the same batch with a teacher's labels, by meta-architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from detectron2.config import CfgNode
from torch import Tensor, nn

from .class_maps import ClassMapLabeler
from .pseudo_labels import Batch, TeacherLabeler


class Labeler(Protocol):
    """A function from a batch to the same batch with labels of a teacher.

    Attributes:
        teacher: network in evaluation mode, whose weights the caller updates.
    """

    teacher: Any

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with labels; the argument is not changed."""

    def count(self, labeled: Batch) -> Tensor:
        """Return sums over a labeled batch, (S,) float32, to be added over micro-batches and processes."""

    def summarize(self, counts: list[float]) -> dict[str, float]:
        """Convert the S sums of ``count`` to statistics by their names in the event storage."""


LABELERS: dict[str, Callable[[CfgNode, Any], Labeler]] = {"DepthBox": TeacherLabeler, "P2Seg": ClassMapLabeler}


def build_labeler(cfg: CfgNode, teacher: nn.Module) -> Labeler:
    """Build the labeler of MODEL.META_ARCHITECTURE.

    Raises:
        ValueError: the meta-architecture has no labeler.
    """
    name = cfg.MODEL.META_ARCHITECTURE
    if name not in LABELERS:
        raise ValueError(
            f"MODEL.META_ARCHITECTURE is {name}, which has no teacher: set MODEL.DISTILL.ENABLED False, or name one of "
            f"{', '.join(LABELERS)}"
        )
    return LABELERS[name](cfg, teacher)


@dataclass(frozen=True)
class TeacherStart:
    """First iteration of the EMA teacher.

    Attributes:
        key: config key that sets it.
        iteration: its value.
    """

    key: str
    iteration: int


def has_teacher(cfg: CfgNode) -> bool:
    """Return whether the network of a config has an EMA teacher.

    P2Seg has one if its class map is learned (MODEL.P2SEG.SEMANTIC.SOURCE points), other networks if
    MODEL.DISTILL.ENABLED is True.
    """
    if cfg.MODEL.get("META_ARCHITECTURE", "") == "P2Seg":
        return bool(cfg.MODEL.P2SEG.SEMANTIC.SOURCE == "points")
    return bool(cfg.MODEL.DISTILL.ENABLED)


def teacher_start(cfg: CfgNode) -> TeacherStart | None:
    """Return the first iteration of the EMA teacher; None without teacher, see ``has_teacher``."""
    if not has_teacher(cfg):
        return None
    if cfg.MODEL.META_ARCHITECTURE == "P2Seg":
        return TeacherStart("MODEL.P2SEG.SEMANTIC.WARMUP_ITERS", cfg.MODEL.P2SEG.SEMANTIC.WARMUP_ITERS)
    return TeacherStart("MODEL.DISTILL.START_ITER", cfg.MODEL.DISTILL.START_ITER)
