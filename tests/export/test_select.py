"""The graph's selection against the network's own."""

import pytest
import torch

from depthbox.export.postprocess import NONE, Selection, select
from depthbox.modeling.fcos import select_detections
from depthbox.modeling.fcos.head import HeadOutputs

STRIDES = [8, 16, 32]


def outputs(classes: int = 3, bias: float = 0.0) -> HeadOutputs:
    sizes = [(12, 17), (6, 9), (1, 2)]
    return HeadOutputs(
        [torch.randn(1, classes, *size) + bias for size in sizes],
        [torch.rand(1, 4, *size) * 4 for size in sizes],
        [torch.randn(1, 1, *size) for size in sizes],
        [],
    )


@pytest.mark.parametrize("with_quality", [True, False])
@pytest.mark.parametrize(("threshold", "topk", "keep"), [(0.05, 1000, 100), (0.4, 20, 15), (0.6, 50, 30)])
def test_equals_the_networks_selection(with_quality: bool, threshold: float, topk: int, keep: int) -> None:
    dense, how = outputs(), Selection(threshold, topk, 0.6, keep, with_quality)
    expected = select_detections(dense.logits, dense.deltas, dense.quality, STRIDES, **vars(how))[0]
    found = select(dense, STRIDES, how)
    assert len(found.scores) == keep
    real = found.scores > NONE
    count = int(real.sum())
    assert count == len(expected.scores) > 0
    assert not real[count:].any()  # they come last
    for name, values in vars(expected).items():
        torch.testing.assert_close(vars(found)[name][:count], values, rtol=0, atol=0, msg=name)


def test_nothing_above_the_threshold() -> None:
    found = select(outputs(bias=-20.0), STRIDES, Selection(0.05, 10, 0.6, 7, True))
    assert found.scores.tolist() == [NONE] * 7
    assert found.level.max() < len(STRIDES)
