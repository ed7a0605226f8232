"""Writers of training metrics: console, metrics.json, TensorBoard; see ``wandb_writer`` for Weights & Biases."""

from __future__ import annotations

import datetime
import importlib.util
import json
import logging
import math
import os
import textwrap
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils.events import EventWriter, TensorboardXWriter, get_event_storage

from ..io.files import atomic_open
from .image_logging import ImageLogging
from .wandb_writer import WandbWriter

LOG_PERIOD = 20  # iterations; also the window of the medians that are written
MAX_SILENCE = 30.0  # maximum seconds between two console lines of a slow training run
NO_BREAK = "\0"
WIDTH = 90  # columns of a console message after the time


class MetricsWriting(HookBase):
    """Hook that calls the writers every ``period`` iterations and at the end, and the console every 30 s.

    Args:
        build: builds the writers; called at the start of training, so that no file is opened earlier.
        period: in iterations.
    """

    def __init__(self, build: Callable[[], Sequence[EventWriter]], period: int) -> None:
        self._build = build
        self._period = period
        self._writers: list[EventWriter] = []
        self._last_output = 0.0

    def before_train(self) -> None:
        """Build the writers."""
        self._writers = list(self._build())
        self._last_output = time.monotonic()

    def after_step(self) -> None:
        """Call the writers that are due."""
        done = self.trainer.iter + 1
        due = done % self._period == 0 or done == self.trainer.max_iter
        if not due and time.monotonic() - self._last_output < MAX_SILENCE:
            return
        for writer in self._writers:
            if due or isinstance(writer, ConsoleWriter):
                writer.write()
        self._last_output = time.monotonic()

    def after_train(self) -> None:
        """Write the last values, and close the writers."""
        for writer in self._writers:
            if not isinstance(writer, ConsoleWriter):
                writer.write()  # results of the last evaluation
            writer.close()


def build_writers(
    cfg: CfgNode, start_iter: int, max_iter: int, images: ImageLogging | None = None
) -> list[EventWriter]:
    """Build the writers of console, OUTPUT_DIR/metrics.json, TensorBoard if installed, and Weights & Biases if enabled.

    A resumed run removes the lines that the interrupted run wrote after its last checkpoint.

    Args:
        cfg: OUTPUT_DIR and WANDB.
        start_iter: first iteration of this run.
        max_iter: number of iterations.
        images: the hook that draws images of the batches, for Weights & Biases.
    """
    folder = Path(cfg.OUTPUT_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    writers = [ConsoleWriter(max_iter), JsonLinesWriter(folder / "metrics.json", start_iter)]
    if importlib.util.find_spec("tensorboard") is None:
        logging.getLogger(__name__).warning("tensorboard is not installed: no event file is written.")
    else:
        writers.append(TensorboardXWriter(str(folder), LOG_PERIOD, purge_step=start_iter or None))
    if cfg.WANDB.ENABLED:
        writers.append(WandbWriter(cfg, LOG_PERIOD, start_iter, tuple if images is None else lambda: images.latest))
    return writers


class ConsoleWriter(EventWriter):
    """Writer of progress, speed and losses to the console; long lines are wrapped."""

    def __init__(self, max_iter: int) -> None:
        self._max_iter = max_iter
        self._logger = logging.getLogger(__name__)

    def write(self) -> None:
        """Log one console message."""
        storage = get_event_storage()
        histories = storage.histories()
        head = self._format_progress(storage.iter + 1, histories)
        losses = self._format_losses(histories)
        message = f"{head}  {losses}"
        if len(message) > WIDTH:
            rest = textwrap.fill(losses, WIDTH, initial_indent="    ", subsequent_indent="    ")
            message = f"{head}\n{rest}"
        self._logger.info("%s", message.replace(NO_BREAK, " "))

    def _format_progress(self, done: int, histories: Mapping[str, Any]) -> str:
        head = f"iter {done}/{self._max_iter}"
        if "time" in histories:
            seconds = histories["time"].median(1000)
            left = datetime.timedelta(seconds=int(seconds * (self._max_iter - done)))
            head += f"  eta {left}  {histories['time'].median(LOG_PERIOD):.3f} s/it"
        if "data_time" in histories:
            teacher = (
                f", teacher {histories['teacher_time'].avg(LOG_PERIOD):.3f}" if "teacher_time" in histories else ""
            )
            head += f" (data {histories['data_time'].avg(LOG_PERIOD):.3f}{teacher})"
        if "lr" in histories:
            head += f"  lr {histories['lr'].latest():.3g}"
        if torch.cuda.is_available():
            head += f"  mem {torch.cuda.max_memory_allocated() / 2**30:.1f} GB"
        return head

    @staticmethod
    def _format_losses(histories: Mapping[str, Any]) -> str:
        medians = {name: history.median(LOG_PERIOD) for name, history in histories.items() if "loss" in name}
        total = medians.pop("total_loss", None)
        # NO_BREAK keeps each number with its name when the line is wrapped.
        parts = [f"{name.removeprefix('loss_')}{NO_BREAK}{value:.3g}" for name, value in medians.items()]
        head = [f"loss{NO_BREAK}{total:.4g}:"] if total is not None else []
        return " ".join(head + parts)


class JsonLinesWriter(EventWriter):
    """Writer of the medians of an iteration as one JSON object per line; no iteration appears twice."""

    def __init__(self, path: str | os.PathLike[str], start_iter: int = 0) -> None:
        """
        Args:
            path: the file. Its lines from ``start_iter`` on, and a truncated last line, are removed.
            start_iter: first iteration of this run.
        """
        self._path = Path(path)
        self._written = start_iter - 1
        if self._path.exists():
            kept = [line for line in self._path.read_bytes().splitlines() if _read_iteration(line) < start_iter]
            with atomic_open(self._path) as file:
                file.writelines(line + b"\n" for line in kept)
        self._file = self._path.open("a", encoding="utf-8")

    def write(self) -> None:
        """Append the values since the last call."""
        lines: dict[int, dict[str, Any]] = defaultdict(dict)
        for name, (value, iteration) in get_event_storage().latest_with_smoothing_hint(LOG_PERIOD).items():
            if iteration > self._written:
                lines[iteration][name] = value if math.isfinite(value) else None
        for iteration in sorted(lines):
            print(json.dumps({"iteration": iteration, **dict(sorted(lines[iteration].items()))}), file=self._file)
            self._written = iteration
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _read_iteration(line: bytes) -> float:
    """Return the iteration of a line, infinity if the line is truncated."""
    try:
        return json.loads(line)["iteration"]
    except (ValueError, KeyError, TypeError):
        return math.inf
