"""Writer of training progress to the console."""

from __future__ import annotations

import datetime
import logging
import textwrap
from collections.abc import Mapping
from typing import Any

import torch
from detectron2.utils.events import EventWriter, get_event_storage

from .json_lines import WINDOW

NO_BREAK = "\0"
WIDTH = 90  # columns of a console message after the time


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
            head += f"  eta {left}  {histories['time'].median(WINDOW):.3f} s/it"
        if "data_time" in histories:
            teacher = f", teacher {histories['teacher_time'].avg(WINDOW):.3f}" if "teacher_time" in histories else ""
            head += f" (data {histories['data_time'].avg(WINDOW):.3f}{teacher})"
        if "lr" in histories:
            head += f"  lr {histories['lr'].latest():.3g}"
        if torch.cuda.is_available():
            head += f"  mem {torch.cuda.max_memory_allocated() / 2**30:.1f} GB"
        return head

    @staticmethod
    def _format_losses(histories: Mapping[str, Any]) -> str:
        medians = {name: history.median(WINDOW) for name, history in histories.items() if "loss" in name}
        total = medians.pop("total_loss", None)
        # NO_BREAK keeps each number with its name when the line is wrapped.
        parts = [f"{name.removeprefix('loss_')}{NO_BREAK}{value:.3g}" for name, value in medians.items()]
        head = [f"loss{NO_BREAK}{total:.4g}:"] if total is not None else []
        return " ".join(head + parts)
