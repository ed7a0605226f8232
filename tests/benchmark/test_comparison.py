"""Comparisons: rows of known costs, differences of results, and comparisons that must fail."""

import math
import time

import pytest
import torch

from depthbox.benchmark.comparison import (
    Comparison,
    DisagreementError,
    Options,
    describe,
    largest_difference,
    memory_ratio,
    run_comparison,
)
from depthbox.benchmark.measure import Measurement, Pass

CPU = torch.device("cpu")
ONE = Pass(lambda: {"x": 1.0})


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


def test_an_operation_has_its_own_measure_of_difference():
    def double(ours, baseline):
        return 2 * abs(ours["x"] - baseline["x"])

    other = Pass(lambda: {"x": 1.25})
    row = run_comparison(Comparison("op", ONE, other, difference=double, tolerance=0.5), Options(CPU, repeat=1))
    assert row["max_difference"] == 0.5
    with pytest.raises(DisagreementError, match=r"op: ours and the baseline differ by 0\.5, more than 0\.4"):
        run_comparison(Comparison("op", ONE, other, difference=double, tolerance=0.4), Options(CPU, repeat=1))


def test_undefined_differences_fail():
    undefined = Comparison("op", ONE, ONE, difference=lambda ours, baseline: math.nan)
    with pytest.raises(DisagreementError, match="differ by nan"):
        run_comparison(undefined, Options(CPU, repeat=1))


@pytest.mark.parametrize(("warm", "calls"), [(True, 1 + 3), (False, 1)])
def test_implementations_are_warmed_up_unless_they_take_minutes(warm, calls):
    counts = {"ours": 0, "baseline": 0}

    def count(who):
        counts[who] += 1
        return {"x": 1.0}

    ours, baseline = Pass(lambda: count("ours")), Pass(lambda: count("baseline"))
    row = run_comparison(Comparison("op", ours, baseline, warm=warm), Options(CPU, repeat=3))
    assert counts == {"ours": calls, "baseline": calls} and row["max_difference"] == 0
    assert row["ours_repetitions"] == row["baseline_repetitions"] == (3 if warm else 1)


def test_peak_memory_is_compared_by_default():
    large, small = Pass(lambda: {"x": float(torch.ones(5_000_000).sum())}), Pass(lambda: {"x": 5e6})
    row = run_comparison(Comparison("op", small, large), Options(CPU, repeat=1))
    assert row["memory"] == "peak" and "ours_kept_mb" not in row
    if row["baseline_peak_mb"] is not None:
        assert row["memory_ratio"] >= 15, "20 MB over a peak that counts as 1 MB"


def test_a_measurement_is_described_with_its_unit():
    found = describe("ours", Measurement((1.0, 3.0, 2.0), 4_000_000), 2_000_000)
    assert found == {
        "ours_s": 2.0,
        "ours_quartiles_s": [1.5, 2.5],
        "ours_repetitions": 3,
        "ours_peak_mb": 4.0,
        "ours_kept_mb": 2.0,
    }
    assert describe("ours", Measurement((1.0,), None))["ours_peak_mb"] is None


def test_equal_values_of_other_types_have_no_difference():
    a = {"text": "a", "list": [1, 2], "none": None, "empty": torch.zeros(0), "nan": math.nan}
    assert largest_difference(a, dict(a)) == 0 and largest_difference({}, {}) == 0
    assert math.isinf(largest_difference(a, {**a, "list": [1, 3]}))
    assert math.isinf(largest_difference(a, {**a, "empty": torch.zeros(1)}))
