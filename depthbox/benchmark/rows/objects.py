"""Cost of target assignment, dynamic head and mask losses together, over the number of objects per image."""

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
from .detector import compute_baseline_losses, compute_losses, make_detector_problem
from .ops import choose_setting, make_mask_problem

_OBJECTS = (1, 3, 10, 30, 100, 300)
_QUICK_OBJECTS = (1, 8)
_CAP = 64


def measure_objects(options: Options) -> Iterator[Row]:
    """Measure a point for each number of objects, with the baseline if it fits into memory.

    Each object has max(64 // objects, 1) queries. Ours are capped at 64 per image; those of the baseline are not
    capped, as is usual. On the CPU the images are 400 x 672, so that all points fit into memory.
    """
    whole = choose_setting(options)
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
            row |= _measure_point(whole.with_objects(objects, queries), who, options)
        yield row


def _measure_point(setting: Setting, who: str, options: Options) -> dict[str, Any]:
    """Measure forward and backward pass of the three operations; a note if the memory does not suffice."""
    cells = setting.images * setting.queries * setting.grid[0] * setting.grid[1]
    if who == "baseline" and 900 * cells > 0.8 * available_bytes(options.device):
        return {"baseline_note": "does not fit into memory"}
    run = make_pass(setting, options.device, baseline=who == "baseline")
    try:
        run()
        return describe(who, measure(run, options.device, repeat=3, budget=options.budget / 4))
    except torch.OutOfMemoryError:
        return {f"{who}_note": "does not fit into memory"}


def make_pass(setting: Setting, device: torch.device, baseline: bool) -> Pass:
    """Combine the detector's targets and losses, dynamic head and mask losses in one pass."""
    masks, detector = make_mask_problem(setting, device), make_detector_problem(setting, device)
    head = BaselineDynamicHead(masks.head) if baseline else masks.head
    criterion = masks.baseline_criterion if baseline else masks.criterion
    targets = masks.baseline_targets if baseline else masks.targets
    losses = compute_baseline_losses if baseline else compute_losses

    def forward() -> Results:
        predictions = head(masks.features, masks.params, masks.queries)
        return {**losses(detector, setting), **criterion(predictions, masks.queries, targets)}

    leaves = {"features": masks.features, "params": masks.params}
    return Pass(forward, leaves | detector.leaves)
