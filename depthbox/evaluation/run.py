"""Evaluation of one network on one dataset, with masks in the encoding that the evaluator reads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from torch import nn


def evaluate_dataset(model: nn.Module, loader: Any, evaluator: DatasetEvaluator, amp: str = "") -> Any:
    """Run ``inference_on_dataset`` in the evaluator's mask format and the requested precision.

    Args:
        model: network; its ``mask_format``, if it has one, is set during the evaluation and restored afterwards.
        loader: iterable over batches.
        evaluator: Detectron2 evaluator. Its attribute ``mask_format`` ("bitmask" or "rle"), if it has one, selects
            the encoding of the predicted masks; run-length encoded masks need less memory.
        amp: "float16" or "bfloat16" for autocast, "" for float32.

    Returns:
        The results of the evaluator.

    Raises:
        ValueError: ``amp`` is none of the three.
    """
    if amp not in ("", "float16", "bfloat16"):
        raise ValueError(f"TEST.AMP is \"\", float16 or bfloat16, not '{amp}'")
    device = next((p.device.type for p in model.parameters()), "cpu")
    precision = torch.autocast(device, getattr(torch, amp)) if amp else contextlib.nullcontext()
    with _use_mask_format(model, getattr(evaluator, "mask_format", None)), precision:
        return inference_on_dataset(model, loader, evaluator)


def find_metric(values: Mapping[str, float], wanted: str) -> str | None:
    """Return the key of a metric in flattened results, falling back to the box AP, then to VOC's mask AP.

    Args:
        values: metric -> value. With several datasets, keys start with the name of the dataset.
        wanted: ``task/name``, such as "segm/AP".

    Returns:
        The first key that is or ends with ``wanted``, else the first one for "bbox/AP", else the first one for
        "segm/mAP50", else None.
    """
    for name in (wanted, "bbox/AP", "segm/mAP50"):
        for key in values:
            if key == name or key.endswith(f"/{name}"):
                return key
    return None


@contextlib.contextmanager
def _use_mask_format(model: nn.Module, mask_format: str | None) -> Iterator[None]:
    before = getattr(model, "mask_format", None)
    if before is None or mask_format is None:  # another meta-architecture, or an evaluator without a preference
        yield
        return
    model.mask_format = mask_format  # type: ignore[assignment]
    try:
        yield
    finally:
        model.mask_format = before
