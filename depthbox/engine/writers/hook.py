"""Hooks that write training metrics, and keep their state in the checkpoints."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils.events import EventWriter

from ...io.files import make_folder
from ..image_logging import ImageLogging
from .console import ConsoleWriter
from .json_lines import WINDOW, JsonLinesWriter
from .logs import raise_log_failure
from .tensorboard import TensorBoardWriter
from .wandb_run import WandbWriter

LOG_PERIOD = WINDOW  # iterations between two lines; also the window of the medians that are written
MAX_SILENCE = 30.0  # maximum seconds between two console lines of a slow training run


class MetricsState(HookBase):
    """Hook that keeps the last values of all metrics in the checkpoints, so that resumed medians are the same.

    It must be the first hook: others add values before the first step of a resumed run.
    """

    def __init__(self) -> None:
        self._saved: dict[str, Any] = {}

    def before_train(self) -> None:
        """Put the values of the checkpoint into the event storage."""
        storage = self.trainer.storage
        for name, series in self._saved.items():
            for value, iteration in series["values"]:
                storage.iter = iteration
                storage.put_scalar(name, value, smoothing_hint=series["smooth"])
        storage.iter = self.trainer.start_iter
        self._saved = {}

    def state_dict(self) -> dict[str, Any]:
        """Return {metric: {"values": [[value, iteration], ...], "smooth": bool}} of the last ``WINDOW`` values.

        Times are left out: they belong to a process, and Detectron2 does not measure its first steps.
        """
        storage = self.trainer.storage
        hints = storage.smoothing_hints()
        return {
            name: {
                "values": [[float(value), int(at)] for value, at in history.values()[-WINDOW:]],
                "smooth": bool(hints[name]),
            }
            for name, history in storage.histories().items()
            if not name.endswith("time")
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the values until training starts."""
        self._saved = dict(state_dict)


class MetricsWriting(HookBase):
    """Hook that calls the writers every ``period`` iterations and at the end, and the console every 30 s.

    Args:
        build: builds the writers, given the first iteration that is not yet written; called at the start of training,
            so that no file is opened earlier.
        period: in iterations.
    """

    def __init__(self, build: Callable[[int], Sequence[EventWriter]], period: int) -> None:
        self._build = build
        self._period = period
        self._writers: list[EventWriter] = []
        self._last_output = 0.0
        self._written: int | None = None

    def before_train(self) -> None:
        """Build the writers; a resumed run writes what it wrote after the checkpoint before it was interrupted."""
        start = self.trainer.start_iter
        if self._written is None:
            self._written = start - 1
        self._writers = list(self._build(self._written + 1))
        self._last_output = time.monotonic()
        due = start % self._period == 0 or start >= self.trainer.max_iter
        if start > 0 and due and self._written < start - 1:
            self._write(console=False)

    def after_step(self) -> None:
        """Call the writers that are due."""
        done = self.trainer.iter + 1
        if done % self._period == 0 or done == self.trainer.max_iter:
            raise_log_failure()
            self._write(console=True)
        elif time.monotonic() - self._last_output >= MAX_SILENCE:
            for writer in self._writers:
                if isinstance(writer, ConsoleWriter):
                    writer.write()
        else:
            return
        self._last_output = time.monotonic()

    def after_train(self) -> None:
        """Write the last values, and close the writers."""
        complete = self.trainer.iter >= self.trainer.max_iter
        # After a failure, an error of writing must not replace it.
        with contextlib.nullcontext() if complete else contextlib.suppress(OSError):
            self._write(console=False)  # results of the last evaluation
        for writer in self._writers:
            with contextlib.nullcontext() if complete else contextlib.suppress(OSError):
                writer.close()

    def state_dict(self) -> dict[str, Any]:
        """Return the last iteration that is written."""
        return {"written": self._written}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after the last iteration that was written before the checkpoint."""
        self._written = state_dict["written"]

    def _write(self, console: bool) -> None:
        for writer in self._writers:
            if console or not isinstance(writer, ConsoleWriter):
                writer.write()
        latest = (iteration for _, iteration in self.trainer.storage.latest().values())
        self._written = max(latest, default=self._written)


def build_writers(
    cfg: CfgNode, start_iter: int, max_iter: int, images: ImageLogging | None = None, first_metric: int | None = None
) -> list[EventWriter]:
    """Build the writers of console, OUTPUT_DIR/metrics.json, TensorBoard if installed, and Weights & Biases if enabled.

    A resumed run removes the values that the interrupted run wrote after its last checkpoint. metrics.json is written
    last: when it is complete, the other files are.

    Args:
        cfg: OUTPUT_DIR and WANDB.
        start_iter: first iteration of this run.
        max_iter: number of iterations.
        images: the hook that draws images of the batches.
        first_metric: first iteration whose metrics are not yet written; None = ``start_iter``.
    """
    folder = make_folder(cfg.OUTPUT_DIR)
    first = start_iter if first_metric is None else first_metric
    writers: list[EventWriter] = [ConsoleWriter(max_iter)]
    if importlib.util.find_spec("tensorboard") is None:
        logging.getLogger(__name__).warning("tensorboard is not installed: no event file is written.")
    else:
        events = TensorBoardWriter(folder, first, start_iter)
        writers.append(events)
        if images is not None:
            images.receivers.append(events.write_panels)
    if cfg.WANDB.ENABLED:
        writers.append(WandbWriter(cfg, LOG_PERIOD, first, tuple if images is None else lambda: images.latest))
    return [*writers, JsonLinesWriter(Path(folder) / "metrics.json", first)]
