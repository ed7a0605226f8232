"""Detectron2's training loop, extended by an orderly stop at a signal."""

from __future__ import annotations

import logging
from pathlib import Path

from detectron2.engine import TrainerBase
from detectron2.utils import comm

from ..errors import Stopped
from .signals import StopSignals
from .writers.completion import describe_stop


class StoppableTrainer(TrainerBase):
    """Training loop that finishes its step and writes a checkpoint when a signal asks it to stop.

    Attributes:
        signals: the signals to this run.
        done: number of iterations done.
        saved: number of iterations done at the newest checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.signals = StopSignals()
        self.done = self.saved = 0

    def save(self) -> Path:
        """Write a checkpoint of the last finished iteration, and set ``saved``; call it on all processes."""
        raise NotImplementedError

    def run_loop(self) -> None:
        """Run all iterations.

        Raises:
            Stopped: by a signal.
        """
        self.done = self.saved = self.start_iter
        with self.signals.deferred():
            super().train(self.start_iter, self.max_iter)

    def after_step(self) -> None:
        """Run the hooks, and stop if a signal arrived: with a checkpoint of this step."""
        self.done = self.iter + 1
        try:
            super().after_step()
            self.signals.stop_if_requested()
        except Stopped:
            if self.saved < self.done:
                self.save()
            if self.signals.agreed:
                comm.synchronize()  # else the launcher could end this process before the checkpoint is written
            raise

    def after_train(self) -> None:
        """Run the hooks; TrainerBase counts one iteration too many if none was left."""
        self.iter: int = min(self.iter, self.max_iter)
        super().after_train()

    def explain_stop(self, stop: KeyboardInterrupt, checkpoint: Path | None) -> Stopped:
        """Return the exception that ends the run, with a message that says where it continues.

        Args:
            stop: exception of the signal.
            checkpoint: the newest checkpoint.
        """
        stopped = describe_stop(stop, self.done, self.max_iter, checkpoint, self.saved)
        logging.getLogger(__name__).debug("%s", stopped)
        return stopped
