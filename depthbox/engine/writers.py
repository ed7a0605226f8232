"""Where the numbers of a training go: the console, metrics.json, TensorBoard; see also wandb_writer."""

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
from typing import TYPE_CHECKING, Any

import torch
from detectron2.engine import HookBase
from detectron2.utils.events import EventWriter, TensorboardXWriter, get_event_storage

from ..io.files import atomic_open
from .wandb_writer import WandbWriter

if TYPE_CHECKING:
    from .trainer import Trainer

LOG_PERIOD = 20  # iterations; also the window of the medians that are written
LONGEST_SILENCE = 30.0  # seconds between two console lines of a slow training
NO_BREAK = "\0"
WIDTH = 90  # columns of a console message; the time stands before it


class MetricsWriting(HookBase):
    """Has writers write every ``period`` iterations and at the end; the console is never silent for long."""

    def __init__(self, build: Callable[[], Sequence[EventWriter]], period: int) -> None:
        """
        Args:
            build: called when the training begins, so that no file is opened before.
            period: in iterations.
        """
        self._build = build
        self._period = period
        self._writers: list[EventWriter] = []
        self._spoke = 0.0

    def before_train(self) -> None:
        self._writers = list(self._build())
        self._spoke = time.monotonic()

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        on_time = done % self._period == 0 or done == self.trainer.max_iter
        if not on_time and time.monotonic() - self._spoke < LONGEST_SILENCE:
            return
        for writer in self._writers:
            if on_time or isinstance(writer, ConsoleWriter):
                writer.write()
        self._spoke = time.monotonic()

    def after_train(self) -> None:
        for writer in self._writers:
            if not isinstance(writer, ConsoleWriter):
                writer.write()  # what the last evaluation found
            writer.close()


def build_writers(trainer: Trainer) -> list[EventWriter]:
    """Console, OUTPUT_DIR/metrics.json, TensorBoard's event file where it is installed, Weights & Biases if asked for.

    A resumed run takes back what the interrupted one wrote after its last checkpoint.
    """
    folder = Path(trainer.cfg.OUTPUT_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    writers = [ConsoleWriter(trainer.max_iter), JsonLinesWriter(folder / "metrics.json", trainer.start_iter)]
    if importlib.util.find_spec("tensorboard") is None:
        logging.getLogger(__name__).warning("tensorboard is not installed: no event file is written.")
    else:
        writers.append(TensorboardXWriter(str(folder), LOG_PERIOD, purge_step=trainer.start_iter or None))
    if trainer.cfg.WANDB.ENABLED:
        panels = trainer.panels
        shown = tuple if panels is None else lambda: panels.latest
        writers.append(WandbWriter(trainer.cfg, LOG_PERIOD, trainer.start_iter, shown))
    return writers


class ConsoleWriter(EventWriter):
    """A line about progress, speed and losses, broken where it is too long for a terminal."""

    def __init__(self, max_iter: int) -> None:
        self._max_iter = max_iter
        self._logger = logging.getLogger(__name__)

    def write(self) -> None:
        storage = get_event_storage()
        done = storage.iter + 1
        histories = storage.histories()
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
        losses = self._losses(histories)
        message = f"{head}  {losses}"
        if len(message) > WIDTH:
            rest = textwrap.fill(losses, WIDTH, initial_indent="    ", subsequent_indent="    ")
            message = f"{head}\n{rest}"
        self._logger.info("%s", message.replace(NO_BREAK, " "))

    @staticmethod
    def _losses(histories: Mapping[str, Any]) -> str:
        medians = {name: history.median(LOG_PERIOD) for name, history in histories.items() if "loss" in name}
        total = medians.pop("total_loss", None)
        # NO_BREAK keeps each number with its name when the line is broken.
        parts = [f"{name.removeprefix('loss_')}{NO_BREAK}{value:.3g}" for name, value in medians.items()]
        head = [f"loss{NO_BREAK}{total:.4g}:"] if total is not None else []
        return " ".join(head + parts)


class JsonLinesWriter(EventWriter):
    """One JSON object a line with the medians of the numbers of an iteration; no iteration appears twice."""

    def __init__(self, path: str | os.PathLike[str], start_iter: int = 0) -> None:
        """
        Args:
            path: the file; its lines from ``start_iter`` on, and a last line that was cut off, are removed.
            start_iter: the first iteration of this run.
        """
        self._path = Path(path)
        self._written = start_iter - 1
        if self._path.exists():
            kept = [line for line in self._path.read_bytes().splitlines() if _iteration_of(line) < start_iter]
            with atomic_open(self._path) as file:
                file.writelines(line + b"\n" for line in kept)
        self._file = self._path.open("a", encoding="utf-8")

    def write(self) -> None:
        rows: dict[int, dict[str, Any]] = defaultdict(dict)
        for name, (value, iteration) in get_event_storage().latest_with_smoothing_hint(LOG_PERIOD).items():
            if iteration > self._written:
                rows[iteration][name] = value if math.isfinite(value) else None
        for iteration in sorted(rows):
            print(json.dumps({"iteration": iteration, **dict(sorted(rows[iteration].items()))}), file=self._file)
            self._written = iteration
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _iteration_of(line: bytes) -> float:
    """The iteration of a line; infinity where the line is cut off."""
    try:
        return json.loads(line)["iteration"]
    except (ValueError, KeyError, TypeError):
        return math.inf
