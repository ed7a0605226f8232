"""Writer of training metrics to metrics.json, one JSON object per line."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from detectron2.utils.events import EventStorage, EventWriter, get_event_storage

from ...io.files import atomic_open
from .append import AppendedFile

WINDOW = 20  # iterations of the medians that are written


def collect_values(storage: EventStorage, written: int, window: int = WINDOW) -> dict[int, dict[str, float]]:
    """Return {iteration: {metric: value}} of the values after the iteration ``written``; losses are medians."""
    values: dict[int, dict[str, float]] = defaultdict(dict)
    for name, (value, iteration) in storage.latest_with_smoothing_hint(window).items():
        if iteration > written:
            values[iteration][name] = float(value)
    return {iteration: values[iteration] for iteration in sorted(values)}


class JsonLinesWriter(EventWriter):
    """Writer of the medians of an iteration as one JSON object per line; no iteration appears twice."""

    def __init__(self, path: str | os.PathLike[str], start_iter: int = 0) -> None:
        """
        Args:
            path: the file. Its lines from ``start_iter`` on, and a truncated last line, are removed.
            start_iter: first iteration that is not yet written.
        """
        path = Path(path)
        self._written = start_iter - 1
        if path.exists():
            content = path.read_bytes()
            kept = b"".join(line + b"\n" for line in content.splitlines() if _read_iteration(line) < start_iter)
            if kept != content:
                with atomic_open(path) as file:
                    file.write(kept)
        self._file = AppendedFile(path)

    def write(self) -> None:
        """Append the values since the last call."""
        lines = collect_values(get_event_storage(), self._written)
        for iteration, values in lines.items():
            finite: dict[str, Any] = {k: v if math.isfinite(v) else None for k, v in sorted(values.items())}
            self._file.append(json.dumps({"iteration": iteration, **finite}).encode() + b"\n")
            self._written = iteration

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def find_last_iteration(path: str | os.PathLike[str]) -> int:
    """Return the iteration of the last line of metrics.json; -1 if there is none or if it is truncated."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return -1
    last = _read_iteration(content.splitlines()[-1]) if content.endswith(b"\n") else math.inf
    return int(last) if math.isfinite(last) else -1


def _read_iteration(line: bytes) -> float:
    """Return the iteration of a line, infinity if the line is truncated."""
    try:
        return float(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return math.inf
