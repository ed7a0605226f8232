"""Weights of a run's folder that evaluation and the printed next steps use."""

from __future__ import annotations

import os
from pathlib import Path

BEST, FINAL = "model_best.pth", "model_final.pth"


def find_weights(folder: str | os.PathLike[str]) -> Path | None:
    """Return the best weights of a run, else the final ones; None if the folder has neither.

    The best weights are those of the last evaluation that was not worse than any before, so that ties go to the later
    weights.
    """
    return next((path for name in (BEST, FINAL) if (path := Path(folder) / name).is_file()), None)
