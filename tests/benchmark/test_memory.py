"""Memory measurement: kept bytes of known functions, the peak of a known allocation."""

import pytest
import torch
from torch.nn import functional as F

from depthbox.benchmark.memory import PeakMemory, available_bytes, kept_bytes

CPU = torch.device("cpu")


class _OnContext(torch.autograd.Function):
    """Function that saves one tensor by autograd and one as an attribute of its context."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x * 2)
        ctx.hidden = [x * 3]
        return x.sum()

    @staticmethod
    def backward(ctx, grad):
        return grad * (ctx.saved_tensors[0] + ctx.hidden[0])


@pytest.mark.parametrize(
    ("function", "maps"),
    [
        (lambda x: x.sum(), 0),
        (lambda x: x.sigmoid().sum(), 1),  # the result
        (lambda x: (x * x).sum(), 1),  # the input, saved twice, counts once
        (lambda x: F.softplus(x.exp()).sum(), 1),  # the same tensor as result of one and input of the other
        (lambda x: x.exp().sigmoid().sum(), 2),
        (_OnContext.apply, 2),
        (lambda x: {"a": x.exp(), "b": x.sigmoid()}, 2),
    ],
)
def test_kept_bytes_of_known_functions(function, maps):
    x = torch.randn(1000, requires_grad=True)
    assert kept_bytes(lambda: function(x)) == maps * 4000


def test_released_graphs_do_not_count():
    x = torch.randn(1000, requires_grad=True)

    def forward():
        x.exp().sigmoid().sum()  # its graph is dropped
        return x.sum()

    assert kept_bytes(forward) == 0


def test_views_of_one_storage_count_once():
    x = torch.randn(1000, requires_grad=True)

    def forward():
        y = x.exp()
        return (y[:500] * y[500:]).sum()

    assert kept_bytes(forward) == 4000


def test_the_peak_includes_short_allocations_and_no_earlier_ones():
    peak = PeakMemory(CPU)
    if peak.method == "none":
        pytest.skip("the memory of a process cannot be measured on this system")
    large = torch.ones(30_000_000)
    del large
    peak.start()
    middle = torch.ones(10_000_000)
    del middle
    assert 38e6 < peak.stop() < 60e6
    peak.start()
    assert peak.stop() < 5e6


def test_the_peak_is_sampled_if_the_mark_cannot_be_reset(monkeypatch):
    monkeypatch.setattr("depthbox.benchmark.memory._can_reset", lambda: False)
    peak = PeakMemory(CPU)
    if peak.method == "none":
        pytest.skip("the memory of a process cannot be measured on this system")
    assert peak.method == "sampled"
    peak.start()
    held = torch.ones(10_000_000)
    assert 38e6 < peak.stop() < 60e6
    assert len(held) and available_bytes(CPU) > 0
