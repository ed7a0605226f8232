"""Resampling as matrix products against the two interpolations that it stands for."""

import pytest
import torch
from torch.nn import functional as F

from depthbox.export.resample import axis_weights, resample
from depthbox.ops import aligned_upsample


@pytest.mark.parametrize(("image", "output"), [((30, 41), (30, 41)), ((30, 41), (77, 95)), ((32, 44), (13, 9))])
@pytest.mark.parametrize("stride", [4, 8])
def test_equals_both_interpolations(stride: int, image: tuple[int, int], output: tuple[int, int]) -> None:
    scores = torch.rand((3, -(-32 // stride), -(-48 // stride)))
    slow = aligned_upsample(scores.double(), stride)[:, : image[0], : image[1]]
    slow = F.interpolate(slow[:, None], size=output, mode="bilinear", align_corners=False)[:, 0]
    weights = [axis_weights(n, stride, *pixels) for n, *pixels in zip(scores.shape[1:], image, output, strict=True)]
    torch.testing.assert_close(resample(scores, *weights).double(), slow, atol=2e-6, rtol=0)


def test_undecided_stays_undecided() -> None:
    weights = axis_weights(12, 4, 45, 100), axis_weights(9, 4, 33, 71)
    assert not (resample(torch.full((2, 12, 9), 0.5) - 0.5, *weights) != 0).any()


def test_no_masks() -> None:
    weights = axis_weights(12, 4, 45, 100), axis_weights(9, 4, 33, 71)
    assert resample(torch.zeros((0, 12, 9)), *weights).shape == (0, 100, 71)
