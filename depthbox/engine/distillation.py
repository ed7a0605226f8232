"""Self-distillation in the training loop: start, update and checkpoints of the EMA teacher."""

from __future__ import annotations

import copy
import logging
import time
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from torch import Tensor, nn

from ..checkpoint.tensor_checks import load_exactly
from ..checkpoint.training_state import State, find_teacher, teacher_state
from ..distillation import Labeler, build_labeler, ema_update, share_statistics, teacher_start
from ..modeling.distributed import mean_over_processes
from .step import Batch, select_amp_dtype


class SelfDistillation(HookBase):
    """Hook that labels the batches with an EMA teacher of the network, from the iteration ``teacher_start`` on.

    Checkpoints include the teacher as soon as it exists. Before that iteration the hook costs nothing.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """
        Args:
            cfg: MODEL.DISTILL, and the keys of the labeler, see ``build_labeler``.
        """
        self._cfg = cfg
        start = teacher_start(cfg)
        self._start = cfg.MODEL.DISTILL.START_ITER if start is None else start.iteration
        self._start_key = "MODEL.DISTILL.START_ITER" if start is None else start.key
        self._momentum = cfg.MODEL.DISTILL.EMA_MOMENTUM
        self._dtype = select_amp_dtype(cfg)
        self._saved: dict[str, Any] | None = None
        self._labeler: Labeler | None = None
        self._seconds = 0.0
        # Sums of the labeler's statistics, per micro-batch.
        self._counts: list[Tensor] = []

    @property
    def teacher(self) -> nn.Module | None:
        """The EMA teacher, None before it starts."""
        return None if self._labeler is None else self._labeler.teacher

    def before_train(self) -> None:
        """Build the teacher that the checkpoint holds: an evaluation may come before the first step."""
        if self._saved is not None:
            self._build_teacher()

    def before_step(self) -> None:
        """Start the teacher at its first iteration."""
        if self.trainer.iter < self._start:
            return
        if self._labeler is None:
            self._build_teacher()
        self.trainer.labeler = self._label

    def after_step(self) -> None:
        """Update the teacher, and log its statistics."""
        if self._labeler is None:
            return
        ema_update(self._labeler.teacher, self.trainer.network, self._momentum)
        share_statistics(self._labeler.teacher)
        if not self._counts:  # before its start, with a teacher of an earlier one
            return
        self.trainer.storage.put_scalar("teacher_time", self._seconds)
        self._seconds = 0.0
        counts = mean_over_processes(torch.stack(self._counts).sum(0)).tolist()
        self._counts.clear()
        for name, value in self._labeler.summarize(counts).items():
            self.trainer.storage.put_scalar(name, value)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the teacher, empty before it starts."""
        return {} if self.teacher is None else {"teacher": self.teacher.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state of the teacher until training starts."""
        self._saved = state_dict.get("teacher")

    def _build_teacher(self) -> None:
        """Copy the student, or load the teacher of the checkpoint."""
        trainer = self.trainer
        teacher = copy.deepcopy(trainer.network).eval().requires_grad_(False)
        log = logging.getLogger(__name__)
        if self._saved is not None:
            load_exactly(teacher, self._saved, "the checkpoint", "teacher")
            self._saved = None
            log.info("Resumed the EMA teacher from the checkpoint")
        elif trainer.iter > self._start:
            log.warning(
                "The checkpoint holds no teacher although %s = %d has passed: the teacher starts at iteration %d, as a "
                "copy of the student",
                self._start_key,
                self._start,
                trainer.iter,
            )
        else:
            log.info("Iteration %d: the EMA teacher starts to label the batches", trainer.iter)
        share_statistics(teacher)
        self._labeler = build_labeler(self._cfg, teacher)

    def _label(self, batch: Batch) -> Batch:
        assert self._labeler is not None
        start = time.perf_counter()
        device_type = torch.device(self._cfg.MODEL.DEVICE).type
        with torch.autocast(device_type, dtype=self._dtype, enabled=self._dtype is not None):
            labeled = self._labeler(batch)
        self._counts.append(self._labeler.count(labeled))
        self._seconds += time.perf_counter() - start
        return labeled


def load_teacher(network: nn.Module, state: State | None, source: str) -> None:
    """Load the EMA teacher of a checkpoint into a network.

    Args:
        network: changed in place.
        state: content of a checkpoint of a training run; None reads the file ``source``.
        source: name of the checkpoint, for the message.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the checkpoint is damaged, holds no teacher, or a teacher of another network.
    """
    saved = teacher_state(source) if state is None else find_teacher(state)
    if saved is None:
        raise ValueError(
            f"{source} holds no teacher, which TEST.EVALUATE asks for: it was written before "
            "MODEL.DISTILL.START_ITER, without distillation, or is the best student (model_best.pth). Evaluate the "
            "student with TEST.EVALUATE student"
        )
    load_exactly(network, saved, source, "teacher")
