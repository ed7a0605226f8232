"""Ours against the baseline: the same inputs, one process, one row of the table."""

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
    """Ours and the baseline gave different results: a comparison of their speed would mean nothing."""


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        device: where.
        quick: tiny inputs, to see that everything works; the figures mean nothing.
        repeat: repetitions at most.
        budget: seconds of one contestant after which no further repetition begins.
    """

    device: torch.device
    quick: bool = False
    repeat: int = 5
    budget: float = 20.0


@dataclass(frozen=True)
class Contest:
    """What is compared.

    Attributes:
        op: name of the row.
        ours, baseline: both compute the same results from the same inputs.
        kept: the memory that counts is what is kept for the backward pass; else the peak above the start.
        tolerance: largest allowed ``difference``.
        difference: of two results; default: see ``largest_difference``.
        baseline_bytes: memory that the baseline takes at least; where there is less it is left out.
        least: repetitions at least.
        warm: run each once before the clock starts; False where a pass takes minutes: it is then run only once.
        about: more fields of the row.
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


def compete(contest: Contest, options: Options) -> Row:
    """Run the contest.

    Returns:
        A row: ``op``, ``device``, ``speedup`` and ``memory_ratio`` (baseline over ours, None where unknown), times in
        seconds, memory in MB (1e6 bytes), ``max_difference``, and what the contest says about itself.

    Raises:
        DisagreementError: the results differ by more than the tolerance.
    """
    row: Row = {"op": contest.op, "device": options.device.type, "speedup": None, "memory_ratio": None}
    row |= contest.about
    fits = contest.baseline_bytes < 0.9 * available_bytes(options.device)
    if contest.warm and fits:
        row["max_difference"] = _agree(contest, contest.ours(), contest.baseline())
    ours, results = _one(contest.ours, contest, options)
    row |= describe("ours", ours, *_kept(contest.ours, contest))
    if not fits:
        row["note"] = f"the baseline needs {contest.baseline_bytes / 1e9:.0f} GB of memory, more than there is"
        return row
    baseline, expected = _one(contest.baseline, contest, options)
    if not contest.warm:
        row["max_difference"] = _agree(contest, results, expected)
    row |= describe("baseline", baseline, *_kept(contest.baseline, contest))
    row["speedup"] = baseline.median / ours.median
    row["memory"] = "kept" if contest.kept else "peak"
    row["memory_ratio"] = ratio(row[f"baseline_{row['memory']}_mb"], row[f"ours_{row['memory']}_mb"], contest.kept)
    return row


def describe(who: str, measured: Measurement, kept: int | None = None) -> Row:
    """The fields of a row about one contestant."""
    row: Row = {
        f"{who}_s": measured.median,
        f"{who}_quartiles_s": list(measured.quartiles),
        f"{who}_repetitions": len(measured.seconds),
        f"{who}_peak_mb": None if measured.peak_bytes is None else measured.peak_bytes / _MEGABYTE,
    }
    return row if kept is None else row | {f"{who}_kept_mb": kept / _MEGABYTE}


def ratio(baseline_mb: float | None, ours_mb: float | None, exact: bool = False) -> float | None:
    """Baseline over ours; a peak below 1 MB, which is within the pages of a process, counts as 1 MB."""
    if baseline_mb is None or ours_mb is None:
        return None
    return baseline_mb / max(ours_mb, 1e-6 if exact else 1.0)


def largest_difference(ours: Results, baseline: Results) -> float:
    """Largest |a - b| over the largest |b| of the same result; 0 or inf for what is no number.

    Raises:
        DisagreementError: they have not the same results.
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


def _agree(contest: Contest, ours: Results, baseline: Results) -> float:
    difference = (contest.difference or largest_difference)(ours, baseline)
    if not difference <= contest.tolerance:
        raise DisagreementError(
            f"{contest.op}: ours and the baseline differ by {difference:.3g}, more than {contest.tolerance:.3g}"
        )
    return difference


def _one(run: Pass, contest: Contest, options: Options) -> tuple[Measurement, Results]:
    """Its measurement and, where it was not run before, its results."""
    if contest.warm:
        return measure(run, options.device, repeat=options.repeat, least=contest.least, budget=options.budget), {}
    results: Results = {}
    return measure(lambda: results.update(run()), options.device, repeat=1), results


def _kept(run: Pass, contest: Contest) -> tuple[int, ...]:
    return (kept_bytes(run.forward),) if run.leaves and contest.kept else ()
