"""Hooks of the training loop: timing, health warnings, evaluation, checkpoints."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from detectron2.engine import HookBase, hooks
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

from ..checkpoint.evaluations import read_evaluation, write_evaluation
from ..evaluation.run import find_metric
from ..reports.diagnosis import LIVE_RULES, HealthRule
from .distillation import SelfDistillation
from .evaluation import find_scored_network

# Smoothed values count this many steps back, and must be bad for this many iterations.
HEALTH_SMOOTHING = 20
HEALTH_PATIENCE = 500
LOSS_WINDOW = 100  # iterations whose losses are kept


def build_iteration_timer() -> HookBase:
    """Build the hook that records the seconds of each step as ``time``."""
    return hooks.IterationTimer()


class Checkpointing(HookBase):
    """Hook that writes a checkpoint every ``period`` iterations (0 = never) and after the last one."""

    def __init__(self, period: int) -> None:
        self._period = period

    def after_step(self) -> None:
        """Write a checkpoint if it is due."""
        done = self.trainer.iter + 1
        if done == self.trainer.max_iter or (self._period > 0 and done % self._period == 0):
            self.trainer.save()


class LossHistory(HookBase):
    """Hook that keeps the total losses of the last iterations; checkpoints include them.

    They show whether a checkpoint was written while the run was diverging, see ``checkpoint.divergence``.
    """

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=LOSS_WINDOW)
        self._last = -1

    def after_step(self) -> None:
        """Append the total loss of this step."""
        self._losses.append(float(self.trainer.storage.latest()["total_loss"][0]))
        self._last = self.trainer.iter

    def find_loss(self, iteration: int) -> float | None:
        """Return the total loss of an iteration, None if it is not in the window."""
        place = len(self._losses) - 1 - (self._last - iteration)
        return self._losses[place] if 0 <= place < len(self._losses) else None

    def state_dict(self) -> dict[str, Any]:
        """Return the losses, the latest last; empty before the first step."""
        return {"losses": list(self._losses)} if self._losses else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the losses of a checkpoint; the trainer is at its iteration."""
        losses = state_dict.get("losses")
        self._losses.extend(x for x in (losses if isinstance(losses, list) else ()) if isinstance(x, float))
        self._last = self.trainer.iter


class Evaluation(HookBase):
    """Hook that evaluates every ``period`` iterations (0 = never) and after the last one, and keeps the best weights.

    The best value is stored in ``model_best.pth`` itself, with the weights of the network that has it (student or EMA
    teacher), so that it survives a restart of the run. Of equal values the latest is the best.
    """

    def __init__(
        self,
        period: int,
        metric: str,
        choice: str = "student",
        distillation: SelfDistillation | None = None,
        subject: str = "",
    ) -> None:
        """
        Args:
            period: in iterations.
            metric: ``task/name``, such as "segm/AP"; see ``find_metric`` if the results lack it.
            choice: TEST.EVALUATE.
            distillation: the hook that has the EMA teacher; None without distillation.
            subject: what is evaluated, see ``evaluation.describe_evaluation``.
        """
        self._period = period
        self._metric = metric
        self._choice, self._distillation, self._subject = choice, distillation, subject
        self._best: dict[str, Any] | None = None

    def before_train(self) -> None:
        """Read the best value of a resumed run, and repeat an evaluation that was interrupted."""
        if not self.trainer.resumed:
            return
        if comm.is_main_process():
            self._best = self._read_best()
        if self._is_due(self.trainer.start_iter):
            self.trainer.storage.iter = self.trainer.start_iter - 1
            if not self._repeat_results():  # the run was stopped between a checkpoint and the end of its evaluation
                self._evaluate(self.trainer.start_iter - 1)
            self.trainer.storage.iter = self.trainer.start_iter

    def after_step(self) -> None:
        """Evaluate if it is due."""
        if self._is_due(self.trainer.iter + 1):
            self._evaluate(self.trainer.iter)

    def after_train(self) -> None:
        """Evaluate after the last iteration."""
        if self.trainer.iter < self.trainer.max_iter:  # after a failure
            return
        finished = self.trainer.resumed and self.trainer.start_iter >= self.trainer.max_iter
        if not (finished and self._repeat_results()):
            self._evaluate(self.trainer.max_iter - 1)

    def _is_due(self, done: int) -> bool:
        return self._period > 0 and 0 < done < self.trainer.max_iter and done % self._period == 0

    def _repeat_results(self) -> bool:
        """Take the results of an evaluation of the resumed checkpoint from the disk; return whether there were any."""
        iterations, results = read_evaluation(self.trainer.store.folder, self._subject)
        known, results = comm.all_gather((iterations >= self.trainer.start_iter, results))[0]
        if known and comm.is_main_process():
            self.trainer.results = results
            self._put(results)
        return known

    def _put(self, results: Mapping[str, Any]) -> dict[str, float]:
        values = {key: float(value) for key, value in flatten_results_dict(results).items()}
        self.trainer.storage.put_scalars(**values, smoothing_hint=False)
        return values

    def _evaluate(self, iteration: int) -> None:
        results = self.trainer.evaluate()
        values = self._put(results)
        if comm.is_main_process():
            self._keep_best(values, iteration)
            write_evaluation(self.trainer.store.folder, iteration + 1, results, self._subject)
        comm.synchronize()

    def _read_best(self) -> dict[str, Any] | None:
        """Return the best value of a resumed run, None without a sound file that has one."""
        best = (self.trainer.store.best() or {}).get("best")
        if not isinstance(best, dict) or not isinstance(best.get("value"), float):
            return None
        return best if isinstance(best.get("metric"), str) else None

    def _keep_best(self, values: Mapping[str, float], iteration: int) -> None:
        name = find_metric(values, self._metric)
        if name is None or math.isnan(values[name]):
            return
        best = self._best
        if best is not None and best["metric"] == name and best["value"] > values[name]:
            return
        teacher = self._distillation.teacher if self._distillation is not None else None
        scored = find_scored_network(name, self.trainer.network, teacher, self._choice)
        self._best = {"metric": name, "value": values[name], "iteration": iteration, "network": scored.name}
        self.trainer.store.save_best({"model": scored.network.state_dict(), "best": self._best})
        logging.getLogger(__name__).info(
            "Best %s so far: %.3f at iteration %d; the %s is saved as model_best.pth",
            *(name, values[name], iteration, scored.name),
        )


class TrainingHealth(HookBase):
    """Warnings about unhealthy training that the losses do not show, each logged once.

    Checks the smoothed values of the metrics of ``reports.diagnosis.LIVE_RULES`` in the event storage.
    """

    def __init__(self) -> None:
        self._smoothed: dict[str, float] = {}
        self._last_iteration: dict[str, int] = {}
        self._bad_since: dict[str, int] = {}
        self._warned: set[str] = set()

    def after_step(self) -> None:
        """Check the metrics of this step against all rules."""
        for rule in LIVE_RULES:
            self._check(rule)

    def _check(self, rule: HealthRule) -> None:
        name = rule.metric
        value, iteration = self.trainer.storage.latest().get(name, (0.0, -1))
        if iteration == self._last_iteration.get(name, -1) or name in self._warned or math.isnan(value):
            return
        self._last_iteration[name] = iteration
        old = self._smoothed.get(name, value)
        self._smoothed[name] = smoothed = old + (value - old) / HEALTH_SMOOTHING
        message = rule.check(smoothed)
        if not message:
            self._bad_since.pop(name, None)
        elif iteration - self._bad_since.setdefault(name, iteration) >= HEALTH_PATIENCE:
            self._warned.add(name)
            logging.getLogger(__name__).warning("Since %d iterations %s.", HEALTH_PATIENCE, message)
