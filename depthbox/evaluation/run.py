"""One network on one data set: the loop of Detectron2, with masks in the form that the evaluator reads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from torch import nn


def evaluate_dataset(model: nn.Module, loader: Any, evaluator: DatasetEvaluator, amp: str = "") -> Any:
    """What ``inference_on_dataset`` gives; run-length coded masks spare memory where an evaluator takes them.

    Args:
        model: a network.
        loader: of batches.
        evaluator: its ``mask_format``, where it has one, is asked of the network.
        amp: "float16" or "bfloat16": run the network in it where that is safe; "" = float32.

    Raises:
        ValueError: another ``amp``.
    """
    if amp not in ("", "float16", "bfloat16"):
        raise ValueError(f"TEST.AMP is \"\", float16 or bfloat16, not '{amp}'")
    device = next((p.device.type for p in model.parameters()), "cpu")
    precision = torch.autocast(device, getattr(torch, amp)) if amp else contextlib.nullcontext()
    with _giving_masks_as(model, getattr(evaluator, "mask_format", None)), precision:
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
