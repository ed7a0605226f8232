"""The training loop, resumable bit for bit."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from torch.nn.parallel import DistributedDataParallel

from ..checkpoint.earlier_runs import complete_set_aside, replace_run
from ..checkpoint.run_files import FINAL
from ..checkpoint.store import CheckpointStore, State
from ..checkpoint.weights import load_weights
from ..data.loader import build_train_loader
from ..data.point_mapper import build_mapper
from ..distillation import has_teacher
from ..io.processes import postpone_signals
from ..modeling.build import build_network
from .distillation import SelfDistillation
from .evaluation import NetworkEvaluation, Results, check_test_data
from .hooks import Checkpointing, Evaluation, LossHistory, TrainingHealth, build_iteration_timer
from .image_logging import ImageLogging
from .loop import StoppableTrainer
from .optimizer import OptimizerStep, build_optimizer
from .resume import TrainingParts, capture, check_length, restore
from .schedule import scale_schedule
from .step import Batch, LossMonitor, count_micro_batches, distribute, resolve_seed, seed_everything, select_amp_dtype
from .writers import LOG_PERIOD, MetricsState, MetricsWriting, build_writers
from .writers.completion import find_results, warn_of_full_disk
from .writers.wandb_run import check_wandb


class Trainer(StoppableTrainer):
    """Trainer of a Detectron2 meta-architecture, for one or several processes.

    Equal config and seed give equal weights, bit for bit on the CPU, whether or not the run was interrupted.
    Order and augmentation of the data do not depend on the number of processes or workers either.

    Attributes:
        cfg: the config, with its schedule rescaled to its batch size.
        model: the network, wrapped in DistributedDataParallel if there are several processes.
        network: the network itself.
        optimizer: optimizer of the network.
        store: checkpoints of the run.
        labeler: if set, every micro-batch passes through it before the network.
        resumed: whether this run continues an earlier one.
        was_complete: whether the earlier run left nothing to do.
        results: of the last evaluation; empty before, and on all but the main process.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """
        Args:
            cfg: a SEED below 0 is replaced by a random one, which the checkpoints store.

        Raises:
            ValueError: an indivisible batch size (see ``count_micro_batches``), or a wrong SOLVER or TEST key.
        """
        super().__init__()
        check_wandb(cfg)
        self._evaluation = NetworkEvaluation(cfg)
        self.cfg = cfg = scale_schedule(cfg)
        self.seed = resolve_seed(cfg.SEED)
        self._micro_batches = count_micro_batches(cfg)
        seed_everything(self.seed)
        self.network = build_network(cfg)
        self.optimizer = build_optimizer(cfg, self.network)
        self._device_type = torch.device(cfg.MODEL.DEVICE).type
        self._dtype = select_amp_dtype(cfg)
        self.scaler = torch.amp.GradScaler(self._device_type, enabled=self._dtype is torch.float16)
        self._update = OptimizerStep(cfg, self.optimizer, self.scaler)
        self.model = distribute(self.network, self._device_type)
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.store = CheckpointStore(cfg.OUTPUT_DIR, cfg.SOLVER.KEEP_CHECKPOINTS)
        self.labeler: Callable[[Batch], Batch] | None = None
        self.resumed = self.was_complete = False
        self.results: Results = OrderedDict()
        self._batches: Iterator[Batch] = iter(())
        self.register_hooks(self.build_hooks())

    def build_hooks(self) -> list[HookBase | None]:
        """Build the hooks in the order in which they run; a checkpoint is complete before its evaluation begins."""
        cfg, main = self.cfg, comm.is_main_process()
        self.distillation = SelfDistillation(cfg) if has_teacher(cfg) else None
        scoring = (cfg.TEST.EVAL_PERIOD, cfg.TEST.BEST_METRIC, cfg.TEST.EVALUATE, self.distillation)
        evaluation = Evaluation(*scoring, self._evaluation.subject) if cfg.DATASETS.TEST else None
        images = ImageLogging(cfg) if main and cfg.VIS_PERIOD > 0 else None
        self._history = LossHistory()

        def build(first: int) -> list[EventWriter]:
            return build_writers(cfg, self.start_iter, self.max_iter, images, first) if main else []

        return [
            MetricsState(),
            build_iteration_timer(),
            TrainingHealth() if main else None,
            self.distillation,
            images,
            self._history,
            Checkpointing(cfg.SOLVER.CHECKPOINT_PERIOD),
            evaluation,
            MetricsWriting(build, LOG_PERIOD),
        ]

    def resume_or_load(self, resume: bool = True) -> None:
        """Continue from the newest complete checkpoint in OUTPUT_DIR; without one, load MODEL.WEIGHTS.

        Raises:
            ValueError, OSError: the checkpoints are broken, unreadable, or do not fit the config.
        """
        if resume and comm.is_main_process():
            complete_set_aside(self.cfg.OUTPUT_DIR)  # else a run that was to be replaced would be resumed
        comm.synchronize()
        state = self.store.load_latest() if resume else None
        self.resumed = resume
        if state is not None:
            progress = restore(self._parts(), state, self.store.last_good)
            self.seed = state.get("seed", self.seed)
            self.load_state_dict(progress)
            self.start_iter = self.done = self.saved = self.iter + 1
            check_length(self.start_iter, self.max_iter, self.store.last_good)
            return
        if resume:
            text = "%s contains no checkpoint to resume from: training starts at iteration 0."
            logging.getLogger(__name__).warning(text, self.cfg.OUTPUT_DIR)
        load_weights(self.network, self.cfg.MODEL.WEIGHTS)

    def train(self, on_start: Callable[[CfgNode], None] | None = None) -> Results:
        """Train from the current to the last iteration, then evaluate.

        An earlier training run in OUTPUT_DIR is set aside, after the data were read, unless this run resumes it.

        Args:
            on_start: called with the config in every process, when OUTPUT_DIR is ready for this run.

        Returns:
            Results of the last evaluation, on the main process.

        Raises:
            ValueError, OSError: a dataset cannot be read.
            FloatingPointError: a loss or a weight is not finite.
            Stopped: by a signal; the step in progress was finished, and its checkpoint written.
        """
        if self.resumed and self.start_iter >= self.max_iter:
            self.was_complete, self.results = find_results(self.store, self.max_iter, self._evaluation.subject)
            if self.was_complete:
                return self.results
        try:
            self._open_data()
            if not self.resumed:
                replace_run(self.cfg)
            if on_start is not None:
                on_start(self.cfg)
            if comm.is_main_process():
                warn_of_full_disk(self.cfg, self.network)
            self.model.train()
            self.run_loop()
        except KeyboardInterrupt as stop:
            raise self.explain_stop(stop, self.store.last_good) from None
        finally:
            with postpone_signals():
                self._batches = iter(())  # stops the workers
        return self.results

    def before_step(self) -> None:
        """Seed the step, and run the hooks."""
        seed_everything(self.seed, self.iter, comm.get_rank())
        super().before_step()

    def run_step(self) -> None:
        """Do one optimizer step on one global batch."""
        rate = self._update.set_learning_rate(self.iter)
        start = time.perf_counter()
        batch = next(self._batches)
        data_time = time.perf_counter() - start
        self.optimizer.zero_grad(set_to_none=True)
        monitor = LossMonitor()
        size = len(batch) // self._micro_batches
        for first in range(0, len(batch), size):
            self._accumulate(batch[first : first + size], monitor, last=first + size == len(batch))
        numbers = monitor.receive()
        self.signals.agree(numbers.flags)
        numbers.write_statistics(self.storage)
        monitor.check_finite(numbers.losses, self.iter, partial(self.store.set_aside_diverged, self._history.find_loss))
        self._update()
        self.storage.put_scalars(total_loss=sum(numbers.losses.values()), **numbers.losses)
        self.storage.put_scalar("data_time", data_time)
        self.storage.put_scalar("lr", rate, smoothing_hint=False)

    def save(self) -> Path:
        """Write a checkpoint of the last finished iteration; call it on all processes."""
        done = self.iter + 1 >= self.max_iter
        self.saved = self.iter + 1
        return self.store.save(FINAL if done else f"model_{self.iter:07d}", self.capture())

    def capture(self) -> State:
        """Return the complete state of the run, see ``resume.capture``."""
        return capture(self._parts(), self.state_dict(), self.seed)

    def evaluate(self) -> Results:
        """Evaluate the networks of TEST.EVALUATE on DATASETS.TEST; call it on all processes."""
        with self.signals.immediate():
            self.results = self._evaluation(self.network, getattr(self.distillation, "teacher", None))
        return self.results

    @classmethod
    def build_train_loader(cls, cfg: CfgNode, start_iter: int = 0, seed: int = 0) -> Iterable[Batch]:
        """Build the endless loader of this process's share of each global batch."""
        return build_train_loader(cfg, build_mapper(cfg, is_train=True), start_iter, seed)

    def _parts(self) -> TrainingParts:
        return TrainingParts(self.network, self.optimizer, self.scaler, self.cfg)

    def _open_data(self) -> None:
        """Open the training data, and read the test data once."""
        if self.start_iter < self.max_iter:
            self._batches = iter(self.build_train_loader(self.cfg, self.start_iter, self.seed))
        check_test_data(self.cfg)

    def _accumulate(self, batch: Batch, monitor: LossMonitor, last: bool) -> None:
        """Forward and backward pass of one micro-batch; gradients are exchanged with the last one."""
        if self.labeler is not None:
            batch = self.labeler(batch)
        later = isinstance(self.model, DistributedDataParallel) and not last
        with self.model.no_sync() if later else contextlib.nullcontext():  # type: ignore[operator]
            with torch.autocast(self._device_type, dtype=self._dtype, enabled=self._dtype is not None):
                losses = self.model(batch)
            monitor.add(losses, batch, getattr(self.network, "training_stats", None))
            if last:
                monitor.send(self.signals.flags(next(iter(losses.values())).device))
            self.scaler.scale(sum(losses.values()) / self._micro_batches).backward()
