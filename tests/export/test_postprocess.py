"""Selection and resampling of the graph, compared with the network's own operations."""

import pytest
import torch
from torch.nn import functional as F

from depthbox.export.postprocess import NONE, Selection, axis_weights, resample_masks, select
from depthbox.modeling.fcos import select_detections
from depthbox.modeling.fcos.head import HeadOutputs
from depthbox.ops import aligned_upsample

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
def test_selection_equals_that_of_the_network(with_quality: bool, threshold: float, topk: int, keep: int) -> None:
    dense, selection = outputs(), Selection(threshold, topk, 0.6, keep, with_quality)
    expected = select_detections(dense.logits, dense.deltas, dense.quality, STRIDES, **vars(selection))[0]
    found = select(dense, STRIDES, selection)
    assert len(found.scores) == keep
    real = found.scores > NONE
    count = int(real.sum())
    assert count == len(expected.scores) > 0
    assert not real[count:].any()  # detections come first
    for name, values in vars(expected).items():
        torch.testing.assert_close(vars(found)[name][:count], values, rtol=0, atol=0, msg=name)


def test_no_candidate_above_the_threshold() -> None:
    found = select(outputs(bias=-20.0), STRIDES, Selection(0.05, 10, 0.6, 7, True))
    assert found.scores.tolist() == [NONE] * 7
    assert found.level.max() < len(STRIDES)


@pytest.mark.parametrize(("image", "output"), [((30, 41), (30, 41)), ((30, 41), (77, 95)), ((32, 44), (13, 9))])
@pytest.mark.parametrize("stride", [4, 8])
def test_resampling_equals_both_interpolations(stride: int, image: tuple[int, int], output: tuple[int, int]) -> None:
    scores = torch.rand((3, -(-32 // stride), -(-48 // stride)))
    slow = aligned_upsample(scores.double(), stride)[:, : image[0], : image[1]]
    slow = F.interpolate(slow[:, None], size=output, mode="bilinear", align_corners=False)[:, 0]
    weights = [axis_weights(n, stride, *pixels) for n, *pixels in zip(scores.shape[1:], image, output, strict=True)]
    torch.testing.assert_close(resample_masks(scores, *weights).double(), slow, atol=2e-6, rtol=0)


def test_probabilities_of_one_half_are_kept() -> None:
    weights = axis_weights(12, 4, 45, 100), axis_weights(9, 4, 33, 71)
    assert not (resample_masks(torch.full((2, 12, 9), 0.5) - 0.5, *weights) != 0).any()


def test_resampling_of_no_masks() -> None:
    weights = axis_weights(12, 4, 45, 100), axis_weights(9, 4, 33, 71)
    assert resample_masks(torch.zeros((0, 12, 9)), *weights).shape == (0, 100, 71)
