"""Offset loss against a loop over pixels in float64."""

import pytest
import torch
from torch import Tensor

from depthbox.losses import offset_loss, sum_offset_errors


def reference(offsets: Tensor, targets: Tensor, weight: Tensor) -> float:
    total, count = 0.0, 0
    for b in range(len(weight)):
        for y in range(weight.shape[1]):
            for x in range(weight.shape[2]):
                w = float(weight[b, y, x])
                total += w * sum(abs(float(offsets[b, k, y, x]) - float(targets[b, k, y, x])) for k in range(2))
                count += w > 0
    return total / count if count else 0.0


@pytest.mark.parametrize("weighted", [True, False])
def test_values_match_the_formula(weighted: bool) -> None:
    offsets, targets = torch.randn(2, 2, 5, 6, dtype=torch.float64), torch.randint(-9, 9, (2, 2, 5, 6))
    weight = torch.rand(2, 5, 6) * (torch.rand(2, 5, 6) > 0.5)
    weight = weight if weighted else weight > 0
    assert float(offset_loss(offsets, targets, weight)) == pytest.approx(reference(offsets, targets, weight))


def test_the_batch_is_one_set_and_its_sums_add_up_over_processes() -> None:
    offsets, targets = torch.randn(2, 2, 5, 6), torch.randn(2, 2, 5, 6)
    weight = torch.rand(2, 5, 6) > torch.tensor([0.1, 0.9])[:, None, None]
    parts = [sum_offset_errors(offsets[b : b + 1], targets[b : b + 1], weight[b : b + 1]) for b in range(2)]
    whole = (parts[0].total + parts[1].total) / (parts[0].count + parts[1].count)
    torch.testing.assert_close(offset_loss(offsets, targets, weight), whole)


def test_gradient_passes_gradcheck() -> None:
    offsets = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    targets, weight = torch.randn(1, 2, 3, 4), torch.rand(1, 3, 4)
    assert torch.autograd.gradcheck(lambda offsets: offset_loss(offsets, targets, weight), offsets)


def test_no_weight_gives_zero_with_zero_gradients() -> None:
    offsets = torch.randn(1, 2, 3, 4, requires_grad=True)
    loss = offset_loss(offsets, torch.zeros(1, 2, 3, 4), torch.zeros(1, 3, 4))
    loss.backward()
    assert float(loss.detach()) == 0
    assert offsets.grad is not None and not offsets.grad.any()


def test_half_precision_is_summed_in_float32() -> None:
    offsets = torch.full((1, 2, 300, 300), 4.0, dtype=torch.float16)  # the sum is above the largest float16
    loss = offset_loss(offsets, torch.zeros(1, 2, 300, 300), torch.ones(1, 300, 300))
    assert loss.dtype == torch.float32 and float(loss) == 8


def test_a_nan_offset_makes_the_loss_nan_also_without_weight() -> None:
    offsets = torch.zeros(1, 2, 3, 4)
    offsets[0, 0, 1, 1] = float("nan")
    assert bool(offset_loss(offsets, torch.zeros(1, 2, 3, 4), torch.zeros(1, 3, 4)).isnan())


def test_a_weight_with_a_channel_axis_is_rejected() -> None:
    with pytest.raises(ValueError, match="weight \\(B, H, W\\)"):
        offset_loss(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4), torch.zeros(1, 1, 3, 4))
