"""Passes, medians, quartiles, budgets and rates."""

import time

import torch

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
