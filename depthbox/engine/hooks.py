"""Hooks of the training loop: timing, health warnings, evaluation, checkpoints."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from detectron2.engine import HookBase, hooks
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

# Smoothed values count this many steps back, and must be bad for this many iterations.
HEALTH_SMOOTHING = 20
HEALTH_PATIENCE = 500
FULL_BOX = 0.95
NO_POSITIVES = 0.05


def iteration_timer() -> HookBase:
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


class Evaluation(HookBase):
    """Hook that evaluates every ``period`` iterations (0 = never) and after the last one, and keeps the best weights.

    The best value is stored in ``model_best.pth`` itself, so that it survives a restart of the run. Of equal values the
    latest is the best.
    """

    def __init__(self, period: int, metric: str) -> None:
        """
        Args:
            period: in iterations.
            metric: ``task/name``, such as "segm/AP"; "bbox/AP" is used if the results lack it.
        """
        self._period = period
        self._metric = metric
        self._best: dict[str, Any] | None = None

    def before_train(self) -> None:
        """Read the best value of a resumed run, and repeat an evaluation that was interrupted."""
        if not self.trainer.resumed:
            return
        if comm.is_main_process():
            self._best = (self.trainer.store.best() or {}).get("best")
        missed = self._is_due(self.trainer.start_iter) and self.trainer.store.last_evaluated < self.trainer.start_iter
        if comm.all_gather(missed)[0]:  # the run was stopped between a checkpoint and the end of its evaluation
            self._evaluate(self.trainer.start_iter - 1)

    def after_step(self) -> None:
        """Evaluate if it is due."""
        if self._is_due(self.trainer.iter + 1):
            self._evaluate(self.trainer.iter)

    def after_train(self) -> None:
        """Evaluate after the last iteration."""
        if self.trainer.iter >= self.trainer.max_iter:  # not after a failure
            self._evaluate(self.trainer.max_iter - 1)

    def _is_due(self, done: int) -> bool:
        return self._period > 0 and 0 < done < self.trainer.max_iter and done % self._period == 0

    def _evaluate(self, iteration: int) -> None:
        values = {key: float(value) for key, value in flatten_results_dict(self.trainer.evaluate()).items()}
        self.trainer.storage.put_scalars(**values, smoothing_hint=False)
        if comm.is_main_process():
            self._keep_best(values, iteration)
            self.trainer.store.last_evaluated = iteration + 1
        comm.synchronize()

    def _keep_best(self, values: Mapping[str, float], iteration: int) -> None:
        name = find_metric(values, self._metric)
        if name is None or math.isnan(values[name]):
            return
        best = self._best
        if best is not None and best["metric"] == name and best["value"] > values[name]:
            return
        self._best = {"metric": name, "value": values[name], "iteration": iteration}
        self.trainer.store.save_best({"model": self.trainer.network.state_dict(), "best": self._best})
        logging.getLogger(__name__).info(
            "Best %s so far: %.3f at iteration %d; saved as model_best.pth", name, values[name], iteration
        )


def find_metric(values: Mapping[str, float], wanted: str) -> str | None:
    """The key of the wanted metric, of the first data set that has it, else that of box AP, else None."""
    for name in (wanted, "bbox/AP"):
        for key in values:
            if key == name or key.endswith(f"/{name}"):
                return key
    return None


class TrainingHealth(HookBase):
    """Says once, in plain words, that a training goes wrong in a way that its losses do not show.

    Watches two numbers that the network puts into the event storage: ``health/mask_fill``, the fraction of
    its box that a predicted mask fills, and ``health/positives_per_image``, positions that stand for objects.
    """

    def __init__(self) -> None:
        self._smoothed: dict[str, float] = {}
        self._seen: dict[str, int] = {}
        self._bad_since: dict[str, int] = {}
        self._said: set[str] = set()

    def after_step(self) -> None:
        self._watch(
            "health/mask_fill",
            lambda value: value > FULL_BOX,
            "the masks fill their boxes (fraction {value:.2f}): they have collapsed to filled boxes, and "
            "mask AP will be near 0 though the losses fall. Check that the pairwise loss is on, that its "
            "weight and threshold let it find edges (MODEL.BOXINST.PAIRWISE), and that its warm-up ends.",
        )
        self._watch(
            "health/positives_per_image",
            lambda value: value < NO_POSITIVES,
            "hardly any position stands for an object ({value:.3f} per image): the detector has nothing to "
            "learn from. Check the boxes of the annotations (COCO: x, y, width, height in pixels), "
            "INPUT.MIN_SIZE_TRAIN and MODEL.FCOS.SIZES_OF_INTEREST.",
        )

    def _watch(self, name: str, is_bad: Any, message: str) -> None:
        value, iteration = self.trainer.storage.latest().get(name, (0.0, -1))
        if iteration == self._seen.get(name, -1) or name in self._said or math.isnan(value):
            return
        self._seen[name] = iteration
        old = self._smoothed.get(name, value)
        self._smoothed[name] = smoothed = old + (value - old) / HEALTH_SMOOTHING
        if not is_bad(smoothed):
            self._bad_since.pop(name, None)
        elif iteration - self._bad_since.setdefault(name, iteration) >= HEALTH_PATIENCE:
            self._said.add(name)
            logging.getLogger(__name__).warning(
                "Since %d iterations %s", HEALTH_PATIENCE, message.format(value=smoothed)
            )
