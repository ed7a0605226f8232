"""Record of the last finished evaluation of a training run, on the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..io.files import atomic_open

EVALUATED = "last_evaluation"


def write_evaluation(folder: str | os.PathLike[str], iterations: int, results: Mapping[str, Any]) -> None:
    """Record a finished evaluation.

    Args:
        folder: OUTPUT_DIR.
        iterations: number of iterations done.
        results: nested dict of numbers.
    """
    with atomic_open(Path(folder) / EVALUATED) as file:
        file.write(f"{iterations}\n{json.dumps(results, default=float)}\n".encode())


def read_evaluation(folder: str | os.PathLike[str]) -> tuple[int, dict[str, Any]]:
    """Return the number of iterations done at the last finished evaluation, and its results.

    0 and no results without an evaluation; no results from earlier versions, which did not record them.
    """
    try:
        number, _, text = (Path(folder) / EVALUATED).read_text(encoding="utf-8").partition("\n")
        iterations = int(number)
    except (OSError, ValueError):
        return 0, {}
    try:
        results = json.loads(text)
    except ValueError:
        return iterations, {}
    return iterations, results if isinstance(results, dict) else {}
