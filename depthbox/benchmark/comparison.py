"""Comparison of our implementation with a baseline: same inputs, one process, one row of the table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .measure import Measurement, Pass, Results, measure
from .memory import available_bytes, kept_bytes

Row = dict[str, Any]
_MEGABYTE = 1e6


class DisagreementError(RuntimeError):
    """Our implementation and the baseline gave different results, so that their speeds cannot be compared."""


@dataclass(frozen=True)
class Options:
    """Settings of the measurement.

    Attributes:
        device: device of all computations.
        quick: use tiny inputs, as a test of the benchmark itself; the values are meaningless.
        repeat: maximum number of repetitions.
        budget: seconds of one implementation after which no further repetition starts.
    """

    device: torch.device
    quick: bool = False
    repeat: int = 5
    budget: float = 20.0


@dataclass(frozen=True)
class Comparison:
    """Two implementations of one operation and the conditions of their comparison.

    Attributes:
        op: name of the row.
        ours, baseline: implementations that compute the same results from the same inputs.
        kept: compare the memory that is kept for the backward pass; if False, the peak memory above the start.
        tolerance: largest allowed ``difference``.
        difference: function of the two results; by default ``largest_difference``.
        baseline_bytes: memory that the baseline needs at least; it is skipped if less is available.
        least: minimum number of repetitions.
        warm: run each implementation once before it is timed; if False, each is run exactly once (for passes that
            take minutes).
        about: further fields of the row.
    """

    op: str
    ours: Pass
    baseline: Pass
    kept: bool = False
    tolerance: float = 1e-3
    difference: Callable[[Results, Results], float] | None = None
    baseline_bytes: int = 0
    least: int = 1
    warm: bool = True
    about: Mapping[str, Any] = field(default_factory=dict)


def run_comparison(comparison: Comparison, options: Options) -> Row:
    """Measure both implementations and compare their results.

    Returns:
        A row: ``op``, ``device``, ``speedup`` and ``memory_ratio`` (baseline over ours, None if unknown), times in
        seconds, memory in MB (1e6 bytes), ``max_difference``, and the fields of ``Comparison.about``.

    Raises:
        DisagreementError: the results differ by more than the tolerance.
    """
    row: Row = {"op": comparison.op, "device": options.device.type, "speedup": None, "memory_ratio": None}
    row |= comparison.about
    fits = comparison.baseline_bytes < 0.9 * available_bytes(options.device)
    if comparison.warm and fits:
        row["max_difference"] = _check_agreement(comparison, comparison.ours(), comparison.baseline())
    ours, results = _measure_one(comparison.ours, comparison, options)
    row |= describe("ours", ours, *_count_kept(comparison.ours, comparison))
    if not fits:
        row["note"] = f"the baseline needs {comparison.baseline_bytes / 1e9:.0f} GB of memory, more than is available"
        return row
    baseline, expected = _measure_one(comparison.baseline, comparison, options)
    if not comparison.warm:
        row["max_difference"] = _check_agreement(comparison, results, expected)
    row |= describe("baseline", baseline, *_count_kept(comparison.baseline, comparison))
    row["speedup"] = baseline.median / ours.median
    row["memory"] = "kept" if comparison.kept else "peak"
    row["memory_ratio"] = memory_ratio(
        row[f"baseline_{row['memory']}_mb"], row[f"ours_{row['memory']}_mb"], comparison.kept
    )
    return row


def describe(who: str, measured: Measurement, kept: int | None = None) -> Row:
    """Return the fields of a row for one implementation."""
    row: Row = {
        f"{who}_s": measured.median,
        f"{who}_quartiles_s": list(measured.quartiles),
        f"{who}_repetitions": len(measured.seconds),
        f"{who}_peak_mb": None if measured.peak_bytes is None else measured.peak_bytes / _MEGABYTE,
    }
    return row if kept is None else row | {f"{who}_kept_mb": kept / _MEGABYTE}


def memory_ratio(baseline_mb: float | None, ours_mb: float | None, exact: bool = False) -> float | None:
    """Return baseline over ours; a peak below 1 MB counts as 1 MB, because it is within the noise of a process."""
    if baseline_mb is None or ours_mb is None:
        return None
    return baseline_mb / max(ours_mb, 1e-6 if exact else 1.0)


def largest_difference(ours: Results, baseline: Results) -> float:
    """Return the largest |a - b| over the largest |b| of the same result; 0 or inf for integers and other values.

    Raises:
        DisagreementError: the two have different names of results.
    """
    if ours.keys() != baseline.keys():
        raise DisagreementError(f"results differ in kind: {sorted(ours)} and {sorted(baseline)}")
    return max((_difference(ours[name], baseline[name]) for name in ours), default=0.0)


def _difference(a: Any, b: Any) -> float:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape:
            return math.inf
        if a.numel() == 0:
            return 0.0
        if not a.is_floating_point():
            return 0.0 if torch.equal(a, b) else math.inf
        found = float((a - b).abs().max() / b.abs().max().clamp(min=1e-12))
        return math.inf if math.isnan(found) else found
    if isinstance(a, float) and isinstance(b, float):
        return 0.0 if math.isnan(a) and math.isnan(b) else abs(a - b) / max(abs(b), 1e-12)
    return 0.0 if a == b else math.inf


def _check_agreement(comparison: Comparison, ours: Results, baseline: Results) -> float:
    difference = (comparison.difference or largest_difference)(ours, baseline)
    if not difference <= comparison.tolerance:
        raise DisagreementError(
            f"{comparison.op}: ours and the baseline differ by {difference:.3g}, more than {comparison.tolerance:.3g}"
        )
    return difference


def _measure_one(run: Pass, comparison: Comparison, options: Options) -> tuple[Measurement, Results]:
    """Measure one implementation; the results are returned only if it was not run before."""
    if comparison.warm:
        return measure(run, options.device, repeat=options.repeat, least=comparison.least, budget=options.budget), {}
    results: Results = {}
    return measure(lambda: results.update(run()), options.device, repeat=1), results


def _count_kept(run: Pass, comparison: Comparison) -> tuple[int, ...]:
    return (kept_bytes(run.forward),) if run.leaves and comparison.kept else ()
