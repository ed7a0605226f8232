"""Passes, medians, budgets, and comparisons that must fail."""

import math
import time

import pytest
import torch

from depthbox.benchmark.comparison import (
    Comparison,
    DisagreementError,
    Options,
    largest_difference,
    memory_ratio,
    run_comparison,
)
from depthbox.benchmark.measure import Measurement, Pass, copy_bandwidth, matrix_rate, measure

CPU = torch.device("cpu")


def test_a_pass_returns_values_and_fresh_gradients():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    run = Pass(lambda: {"square": (x * x).sum(), "map": 3 * x, "name": "n"}, {"x": x}, {"map": torch.tensor([1.0, 0])})
    for _ in range(2):  # gradients do not accumulate
        results = run()
        assert results["square"] == 5 and not results["square"].requires_grad and results["name"] == "n"
        assert torch.equal(results["grad x"], torch.tensor([5.0, 4.0]))


def test_median_and_quartiles():
    found = Measurement((5.0, 1.0, 3.0, 2.0, 4.0), None)
    assert found.median == 3 and found.quartiles == (2, 4)
    assert Measurement((7.0,), 1).quartiles == (7, 7)


def test_the_budget_ends_the_repetitions():
    assert len(measure(lambda: time.sleep(0.02), CPU, repeat=50, budget=0.05).seconds) < 5
    assert len(measure(lambda: time.sleep(0.02), CPU, repeat=5, least=2, budget=0).seconds) == 2
    found = measure(lambda: time.sleep(0.02), CPU, repeat=3)
    assert len(found.seconds) == 3 and found.median >= 0.02


def test_rates_are_plausible():
    assert 1e7 < copy_bandwidth(CPU, 2**22) < 1e13
    assert 1e7 < matrix_rate(CPU, 128) < 1e14


def test_the_largest_difference_is_relative():
    a = {"x": torch.tensor([1.0, -2.0]), "n": 3.0, "i": torch.tensor([1, 2])}
    assert largest_difference(a, dict(a)) == 0
    assert largest_difference(a, {**a, "x": torch.tensor([1.0, -4.0])}) == pytest.approx(0.5)
    assert largest_difference(a, {**a, "n": 4.0}) == pytest.approx(0.25)
    assert math.isinf(largest_difference(a, {**a, "i": torch.tensor([1, 3])}))
    assert math.isinf(largest_difference(a, {**a, "x": torch.tensor([1.0])}))
    assert math.isinf(largest_difference({**a, "x": torch.tensor([math.nan, 1])}, a))
    with pytest.raises(DisagreementError, match="in kind"):
        largest_difference(a, {"x": a["x"]})


def test_a_comparison_of_known_costs():
    x = torch.randn(1000, requires_grad=True)
    ours = Pass(lambda: {"value": x.sigmoid().sum()}, {"x": x})

    def slow():
        time.sleep(0.03)
        return {"value": (1 / (1 + (-x).exp())).sum()}

    row = run_comparison(
        Comparison("op", ours, Pass(slow, {"x": x}), kept=True, about={"input": "1000"}), Options(CPU, repeat=3)
    )
    assert row["op"] == "op" and row["device"] == "cpu" and row["input"] == "1000" and row["memory"] == "kept"
    assert row["ours_kept_mb"] == 0.004 and row["memory_ratio"] == row["baseline_kept_mb"] / 0.004 >= 2
    assert row["speedup"] == row["baseline_s"] / row["ours_s"] and row["baseline_s"] >= 0.03
    assert row["max_difference"] < 1e-5 and row["baseline_repetitions"] == 3


@pytest.mark.parametrize("warm", [True, False])
def test_a_wrong_result_fails(warm):
    comparison = Comparison("op", Pass(lambda: {"x": 1.0}), Pass(lambda: {"x": 1.1}), warm=warm)
    with pytest.raises(DisagreementError, match=r"op: ours and the baseline differ by 0\.0909"):
        run_comparison(comparison, Options(CPU, repeat=1))


def test_a_baseline_that_does_not_fit_is_skipped():
    def never():
        raise AssertionError("it must not run")

    row = run_comparison(
        Comparison("op", Pass(lambda: {"x": 1.0}), Pass(never), baseline_bytes=10**18), Options(CPU, repeat=1)
    )
    assert row["speedup"] is None and row["memory_ratio"] is None and "memory" in row["note"] and row["ours_s"] > 0


def test_small_peaks_count_as_one_megabyte():
    assert (
        memory_ratio(100.0, 0.01) == 100
        and memory_ratio(100.0, 0.01, exact=True) == 10_000
        and memory_ratio(None, 1.0) is None
    )
