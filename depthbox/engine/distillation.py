"""Self-distillation in the training loop: when the teacher begins, how it moves, and how it survives a restart."""

from __future__ import annotations

import copy
import logging
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from torch import Tensor, nn

from ..checkpoint.store import State, read_checkpoint
from ..distillation import TeacherLabeler, ema_update, share_statistics
from ..modeling.distributed import mean_over_processes
from .step import Batch, amp_dtype

Results = OrderedDict[str, Any]
EVALUATE = ("student", "teacher", "both")


class SelfDistillation(HookBase):
    """From START_ITER on, a moving average of the network labels the batches; before, this costs nothing.

    The teacher is part of every checkpoint written while it exists.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """
        Args:
            cfg: MODEL.DISTILL and what the labels are made with.
        """
        if cfg.TEST.EVALUATE not in EVALUATE:
            raise ValueError(f"TEST.EVALUATE is one of {EVALUATE}, not '{cfg.TEST.EVALUATE}'")
        self._cfg = cfg
        self._start = cfg.MODEL.DISTILL.START_ITER
        self._momentum = cfg.MODEL.DISTILL.EMA_MOMENTUM
        self._dtype = amp_dtype(cfg)
        self._saved: dict[str, Any] | None = None
        self._labeler: TeacherLabeler | None = None
        self._seconds = 0.0
        self._counts: list[Tensor] = []  # of each micro-batch: reliable masks, matched boxes, their scores, boxes

    @property
    def teacher(self) -> nn.Module | None:
        """The teacher, None before START_ITER."""
        return None if self._labeler is None else self._labeler.teacher

    def before_step(self) -> None:
        if self._labeler is None and self.trainer.iter >= self._start:
            self._begin()

    def after_step(self) -> None:
        if self._labeler is None:
            return
        ema_update(self._labeler.teacher, self.trainer.network, self._momentum)
        share_statistics(self._labeler.teacher)
        self.trainer.storage.put_scalar("teacher_time", self._seconds)
        self._seconds = 0.0
        reliable, matched, score, boxes = mean_over_processes(torch.stack(self._counts).sum(0)).tolist()
        self._counts.clear()
        if boxes:
            self.trainer.storage.put_scalar("distill/reliable", reliable / boxes)
            self.trainer.storage.put_scalar("distill/matched", matched / boxes)
        if matched:
            self.trainer.storage.put_scalar("distill/score", score / matched)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.teacher is None else {"teacher": self.teacher.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._saved = state_dict["teacher"]

    def _begin(self) -> None:
        trainer = self.trainer
        teacher = copy.deepcopy(trainer.network).eval().requires_grad_(False)
        log = logging.getLogger(__name__)
        if self._saved is not None:
            teacher.load_state_dict(self._saved)
            self._saved = None
            log.info("The teacher of the checkpoint goes on labelling")
        elif trainer.iter > self._start:
            log.warning(
                "The checkpoint holds no teacher though MODEL.DISTILL.START_ITER = %d is over: the teacher begins "
                "now, at iteration %d, as a copy of the student",
                self._start,
                trainer.iter,
            )
        else:
            log.info("Iteration %d: the teacher begins to label", trainer.iter)
        share_statistics(teacher)
        self._labeler = TeacherLabeler(self._cfg, teacher)
        trainer.labeler = self._label

    def _label(self, batch: Batch) -> Batch:
        assert self._labeler is not None
        start = time.perf_counter()
        device_type = torch.device(self._cfg.MODEL.DEVICE).type
        with torch.autocast(device_type, dtype=self._dtype, enabled=self._dtype is not None):
            labeled = self._labeler(batch)
        weights = torch.cat([x["instances"].pseudo_weights for x in labeled])
        scores = torch.cat([x["instances"].pseudo_scores for x in labeled])
        numbers = ((weights > 0).sum(), (scores > 0).sum(), scores.sum(), scores.new_tensor(len(scores)))
        self._counts.append(torch.stack([number.float() for number in numbers]))
        self._seconds += time.perf_counter() - start
        return labeled


def evaluate_networks(
    test: Callable[[nn.Module], Results], student: nn.Module, teacher: nn.Module | None, which: str
) -> Results:
    """Results of the student, of the teacher, or of both; then the teacher's tasks are named ``teacher_...``.

    Args:
        test: evaluates one network.
        student: the trained network.
        teacher: None before it begins; then the student stands in for it.
        which: TEST.EVALUATE.
    """
    if which == "student" or teacher is None:
        return test(student)
    if which == "teacher":
        return test(teacher)
    results = test(student)
    results.update({f"teacher_{task}": values for task, values in test(teacher).items()})
    return results


def load_teacher(network: nn.Module, state: State | None, source: str) -> None:
    """Load the teacher that a checkpoint holds.

    Args:
        network: changed in place.
        state: a training's checkpoint; None reads the file ``source``.
        source: the checkpoint's name, for the message.

    Raises:
        ValueError: there is no teacher in it.
    """
    if state is None:
        try:
            state = read_checkpoint(Path(source))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"MODEL.WEIGHTS {source} cannot give TEST.EVALUATE its teacher: {error}") from error
    saved = state.get("trainer", {}).get("hooks", {}).get(SelfDistillation.__name__)
    if saved is None:
        raise ValueError(
            f"{source} holds no teacher, which TEST.EVALUATE asks for: it was written before "
            "MODEL.DISTILL.START_ITER, without distillation, or is the best student (model_best.pth). Evaluate the "
            "student with TEST.EVALUATE student"
        )
    network.load_state_dict(saved["teacher"])
