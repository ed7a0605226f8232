"""The training loop: data in, gradients out, everything about it resumable."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase, TrainerBase
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..checkpoint.store import FINAL, CheckpointStore, State
from ..checkpoint.weights import load_weights
from ..data.loader import build_test_loader, build_train_loader
from ..data.mapper import BoxDepthMapper
from ..evaluation.cityscapes import CityscapesEvaluator
from ..evaluation.coco import CocoEvaluator
from ..evaluation.run import evaluate_dataset
from ..modeling.build import build_network
from .distillation import SelfDistillation, evaluate_networks
from .hooks import Checkpointing, Evaluation, TrainingHealth, iteration_timer
from .image_logging import Panels
from .optimizer import build_clipper, build_optimizer
from .resume import capture, restore
from .schedule import lr_multiplier, scale_schedule
from .step import Batch, LossMonitor, amp_dtype, distribute, seed_everything, shared_seed
from .wandb_writer import check_wandb
from .writers import LOG_PERIOD, MetricsWriting, build_writers

Results = OrderedDict[str, Any]


class Trainer(TrainerBase):
    """Trains a Detectron2 meta-architecture as a config says, on one process or several.

    Equal config and seed give equal weights, bit for bit on the CPU, whether or not the run was interrupted.
    The order and augmentation of the data do not depend on the number of processes or workers either.

    Attributes:
        cfg: the config, its schedule rescaled to its batch.
        model: the network, wrapped in DistributedDataParallel where there are several processes.
        network: the network itself.
        optimizer: its optimiser.
        store: the checkpoints.
        labeler: when set, every micro-batch passes through it on its way to the network.
        resumed: whether this run continues an earlier one.
        results: of the last evaluation; empty before, and on all but the main process.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """
        Args:
            cfg: SEED below 0 draws a seed, which the checkpoints remember.

        Raises:
            ValueError: a batch that does not divide by processes and SOLVER.ACCUMULATION_STEPS, or a wrong
                SOLVER key.
        """
        super().__init__()
        check_wandb(cfg)
        self.cfg = cfg = scale_schedule(cfg)
        self.seed = shared_seed(cfg.SEED)
        self._micro_batches = _micro_batches(cfg)
        seed_everything(self.seed)
        self.network = build_network(cfg)
        self.optimizer = build_optimizer(cfg, self.network)
        self._parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self._clip = build_clipper(cfg)
        self._rate = lr_multiplier(cfg)
        self._device_type = torch.device(cfg.MODEL.DEVICE).type
        self._dtype = amp_dtype(cfg)
        self.scaler = torch.amp.GradScaler(self._device_type, enabled=self._dtype is torch.float16)
        self.model = distribute(self.network, self._device_type)
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.store = CheckpointStore(cfg.OUTPUT_DIR, cfg.SOLVER.KEEP_CHECKPOINTS)
        self.labeler: Callable[[Batch], Batch] | None = None
        self.resumed = False
        self.results: Results = OrderedDict()
        self._batches: Iterator[Batch] = iter(())
        self.register_hooks(self.build_hooks())

    def build_hooks(self) -> list[HookBase | None]:
        """Hooks in the order in which they run; a checkpoint is safe before its evaluation begins."""
        cfg, main = self.cfg, comm.is_main_process()
        evaluation = Evaluation(cfg.TEST.EVAL_PERIOD, cfg.TEST.BEST_METRIC) if cfg.DATASETS.TEST else None
        health = TrainingHealth() if main else None
        writing = MetricsWriting(lambda: build_writers(self), LOG_PERIOD) if main else None
        self.distillation = SelfDistillation(cfg) if cfg.MODEL.DISTILL.ENABLED else None
        self.panels = Panels(cfg) if main and cfg.VIS_PERIOD > 0 else None
        checkpointing = Checkpointing(cfg.SOLVER.CHECKPOINT_PERIOD)
        return [iteration_timer(), health, self.distillation, self.panels, checkpointing, evaluation, writing]

    def resume_or_load(self, resume: bool = True) -> None:
        """Continue from the newest complete checkpoint in OUTPUT_DIR; else load MODEL.WEIGHTS.

        Raises:
            RuntimeError: the checkpoints are broken or do not fit the config.
        """
        state = self.store.load_latest() if resume else None
        self.resumed = resume
        if state is not None:
            restore(self, state)
            return
        if resume:
            logging.getLogger(__name__).warning(
                "Nothing to resume from in %s: training starts from iteration 0.", self.cfg.OUTPUT_DIR
            )
        load_weights(self.network, self.cfg.MODEL.WEIGHTS)

    def train(self) -> Results:
        """Train from the current to the last iteration, then evaluate.

        Returns:
            Results of the last evaluation, on the main process.

        Raises:
            FloatingPointError: a loss or a weight is not finite.
        """
        if not self.resumed:
            self.store.set_aside_earlier_run()
        comm.synchronize()
        self.model.train()
        if self.start_iter < self.max_iter:
            self._batches = iter(self.build_train_loader(self.cfg, self.start_iter, self.seed))
        try:
            super().train(self.start_iter, self.max_iter)
        except KeyboardInterrupt:
            logging.getLogger(__name__).warning(
                "Interrupted at iteration %d; --resume continues from %s", self.iter, self.store.last_good
            )
            raise
        finally:
            self._batches = iter(())  # ends the workers
        return self.results

    def before_step(self) -> None:
        seed_everything(self.seed, self.iter, comm.get_rank())
        super().before_step()

    def after_train(self) -> None:
        # TrainerBase counts one too far when no iteration was left to do.
        self.iter: int = min(self.iter, self.max_iter)
        super().after_train()

    def run_step(self) -> None:
        """One optimiser step on one global batch."""
        rate = self._set_learning_rate()
        start = time.perf_counter()
        batch = next(self._batches)
        data_time = time.perf_counter() - start
        self.optimizer.zero_grad(set_to_none=True)
        monitor = LossMonitor()
        size = len(batch) // self._micro_batches
        for first in range(0, len(batch), size):
            self._accumulate(batch[first : first + size], monitor, last=first + size == len(batch))
        losses = monitor.receive(self.iter, self.store.last_good)
        self.scaler.unscale_(self.optimizer)
        if self._clip is not None:
            self._clip(self._parameters)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.storage.put_scalars(total_loss=sum(losses.values()), **losses)
        self.storage.put_scalar("data_time", data_time)
        self.storage.put_scalar("lr", rate, smoothing_hint=False)

    def save(self) -> Path:
        """Write a checkpoint of the iteration just done; call it on all processes."""
        done = self.iter + 1 >= self.max_iter
        return self.store.save(FINAL if done else f"model_{self.iter:07d}", self.capture())

    def capture(self) -> State:
        """Everything that a resumed run needs."""
        return capture(self)

    def evaluate(self) -> Results:
        """Evaluate TEST.EVALUATE's networks on DATASETS.TEST; call it on all processes."""
        teacher = self.distillation.teacher if self.distillation is not None else None
        self.results = evaluate_networks(partial(self.test, self.cfg), self.network, teacher, self.cfg.TEST.EVALUATE)
        return self.results

    def _accumulate(self, batch: Batch, monitor: LossMonitor, last: bool) -> None:
        """Forward and backward of one micro-batch; gradients are exchanged with the last one."""
        if self.labeler is not None:
            batch = self.labeler(batch)
        later = isinstance(self.model, DistributedDataParallel) and not last
        with self.model.no_sync() if later else contextlib.nullcontext():  # type: ignore[operator]
            with torch.autocast(self._device_type, dtype=self._dtype, enabled=self._dtype is not None):
                losses = self.model(batch)
            monitor.add(losses, batch)
            if last:
                monitor.send()
            self.scaler.scale(sum(losses.values()) / self._micro_batches).backward()

    def _set_learning_rate(self) -> float:
        """Set the rate of each group for this iteration; returns that of the largest group."""
        factor = self._rate(self.iter)
        for group, base in zip(self.optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = base * factor
        return max(self.optimizer.param_groups, key=lambda group: len(group["params"]))["lr"]

    @classmethod
    def build_train_loader(cls, cfg: CfgNode, start_iter: int = 0, seed: int = 0) -> Iterable[Batch]:
        """Endless loader of this process's share of each global batch."""
        return build_train_loader(cfg, BoxDepthMapper(cfg, is_train=True), start_iter, seed)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[Batch]:
        """Loader of this process's share of a data set."""
        return build_test_loader(cfg, dataset_name, BoxDepthMapper(cfg, is_train=False))

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """What TEST.EVALUATOR names; predictions go to OUTPUT_DIR/inference/<data set>."""
        folder = Path(cfg.OUTPUT_DIR) / "inference" / dataset_name
        if cfg.TEST.EVALUATOR == "cityscapes":
            return CityscapesEvaluator(dataset_name, output_dir=folder)
        if cfg.TEST.EVALUATOR != "coco":
            raise ValueError(f"TEST.EVALUATOR is coco or cityscapes, not '{cfg.TEST.EVALUATOR}'")
        return CocoEvaluator(
            dataset_name, output_dir=folder, fast=cfg.TEST.EVAL_FAST, filled_box=cfg.TEST.FILLED_BOX_AP
        )

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module) -> Results:
        """Evaluate a network on all DATASETS.TEST; call it on all processes.

        Returns:
            On the main process {task: {metric: value}}, or {data set: {task: ...}} where there are several.
        """
        results: Results = OrderedDict()
        for name in cfg.DATASETS.TEST:
            evaluator = cls.build_evaluator(cfg, name)
            results[name] = evaluate_dataset(model, cls.build_test_loader(cfg, name), evaluator, cfg.TEST.AMP)
        comm.synchronize()
        return next(iter(results.values())) if len(results) == 1 else results


def _micro_batches(cfg: CfgNode) -> int:
    batch, steps, world = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.ACCUMULATION_STEPS, comm.get_world_size()
    if steps < 1 or batch < 1 or batch % (steps * world):
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH = {batch} must be a multiple of {world} processes x "
            f"SOLVER.ACCUMULATION_STEPS = {steps}, the images of one optimiser step"
        )
    return steps
