"""What target assignment, dynamic head and mask losses cost together, against the number of objects in an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from ..baselines.head import BaselineDynamicHead
from ..comparison import Options, Row, describe
from ..inputs import Setting
from ..measure import Pass, Results, measure
from ..memory import available_bytes
from .detector import baseline_detector_losses, detector_losses, detector_problem
from .ops import mask_problem, setting_for

_OBJECTS = (1, 3, 10, 30, 100, 300)
_QUICK_OBJECTS = (1, 8)
_CAP = 64


def object_curve(options: Options) -> Iterator[Row]:
    """A point for each number of objects, ours and the baseline's where it fits into memory.

    Each object has max(64 // objects, 1) queries. Ours stops at 64 an image; the baseline, as the field does, at none.
    On the CPU the images are 400 x 672, so that all points fit.
    """
    whole = setting_for(options)
    if options.device.type == "cpu" and not options.quick:
        whole = replace(whole, height=whole.height // 2, width=whole.width // 2)
    cap = 4 if options.quick else _CAP
    for objects in _QUICK_OBJECTS if options.quick else _OBJECTS:
        wanted = objects * max(cap // objects, 1)
        row: Row = {
            "op": "objects",
            "device": options.device.type,
            "objects": objects,
            "input": f"{whole.height} x {whole.width}",
        }
        for who, queries in (("ours", min(wanted, cap)), ("baseline", wanted)):
            row[f"{who}_queries"] = queries
            row |= _point(whole.with_objects(objects, queries), who, options)
        yield row


def _point(setting: Setting, who: str, options: Options) -> dict[str, Any]:
    """Forward and backward of the three operations; nothing where there is not enough memory."""
    cells = setting.images * setting.queries * setting.grid[0] * setting.grid[1]
    if who == "baseline" and 900 * cells > 0.8 * available_bytes(options.device):
        return {"baseline_note": "does not fit into memory"}
    run = three_operations(setting, options.device, baseline=who == "baseline")
    try:
        run()
        return describe(who, measure(run, options.device, repeat=3, budget=options.budget / 4))
    except torch.OutOfMemoryError:
        return {f"{who}_note": "does not fit into memory"}


def three_operations(setting: Setting, device: torch.device, baseline: bool) -> Pass:
    """Detector's targets and losses, dynamic head, mask losses, in one forward and backward pass."""
    masks, detector = mask_problem(setting, device), detector_problem(setting, device)
    head = BaselineDynamicHead(masks.head) if baseline else masks.head
    criterion = masks.baseline_criterion if baseline else masks.criterion
    targets = masks.baseline_targets if baseline else masks.targets
    losses = baseline_detector_losses if baseline else detector_losses

    def forward() -> Results:
        predictions = head(masks.features, masks.params, masks.queries)
        return {**losses(detector, setting), **criterion(predictions, masks.queries, targets)}

    leaves = {"features": masks.features, "params": masks.params}
    return Pass(forward, leaves | detector.leaves)
