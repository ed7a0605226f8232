"""One network on one data set: the loop of Detectron2, with masks in the form that the evaluator reads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from torch import nn


def evaluate_dataset(model: nn.Module, loader: Any, evaluator: DatasetEvaluator) -> Any:
    """What ``inference_on_dataset`` gives; run-length coded masks spare memory where an evaluator takes them.

    Args:
        model: a network.
        loader: of batches.
        evaluator: its ``mask_format``, where it has one, is asked of the network.
    """
    with _giving_masks_as(model, getattr(evaluator, "mask_format", None)):
        return inference_on_dataset(model, loader, evaluator)


@contextlib.contextmanager
def _giving_masks_as(model: nn.Module, mask_format: str | None) -> Iterator[None]:
    before = getattr(model, "mask_format", None)
    if before is None or mask_format is None:  # of another meta-architecture, or an evaluator without wishes
        yield
        return
    model.mask_format = mask_format  # type: ignore[assignment]
    try:
        yield
    finally:
        model.mask_format = before
