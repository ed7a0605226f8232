"""Record of the last finished evaluation of a training run, on the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..io.files import atomic_open
from ..io.untrusted.json_files import parse_json

EVALUATED = "last_evaluation"


def write_evaluation(
    folder: str | os.PathLike[str], iterations: int, results: Mapping[str, Any], subject: str = ""
) -> None:
    """Record a finished evaluation.

    Args:
        folder: OUTPUT_DIR.
        iterations: number of iterations done.
        results: nested dict of numbers.
        subject: what was evaluated: the networks, the datasets and the evaluator.
    """
    record = json.dumps({"subject": subject, "results": results}, default=float)
    with atomic_open(Path(folder) / EVALUATED) as file:
        file.write(f"{iterations}\n{record}\n".encode())


def read_evaluation(folder: str | os.PathLike[str], subject: str | None = None) -> tuple[int, dict[str, Any]]:
    """Return the number of iterations done at the last finished evaluation, and its results.

    0 and no results without an evaluation. No results from earlier versions, which did not record them.

    Args:
        folder: OUTPUT_DIR.
        subject: as in ``write_evaluation``; an evaluation of something else does not count. None = any counts.
    """
    try:
        number, _, text = (Path(folder) / EVALUATED).read_text(encoding="utf-8").partition("\n")
        iterations = int(number)
    except (OSError, ValueError):
        return 0, {}
    try:
        record = parse_json(text, EVALUATED)
    except ValueError:
        record = {}
    record = record if isinstance(record, dict) else {}
    if subject is not None and record.get("subject") != subject:
        return 0, {}
    results = record.get("results")
    return iterations, results if isinstance(results, dict) else {}
