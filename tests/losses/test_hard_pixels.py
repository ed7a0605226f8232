"""Cross entropy of the hardest pixels against sorting in float64; the threshold over several processes."""

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from depthbox.losses import find_threshold, hard_cross_entropy, pixel_cross_entropy, selected_count, sum_hard
from depthbox.losses.hard_pixels import HardThreshold


def reference(probabilities: Tensor, class_map: Tensor, share: float) -> float:
    values = []
    for b, y, x in torch.ones_like(class_map).nonzero().tolist():
        label = int(class_map[b, y, x])
        values.append(0.0 if label == 255 else -math.log(max(float(probabilities[b, label, y, x]), 1e-6)))
    count = math.floor(Fraction(str(share)) * len(values))
    return sum(sorted(values, reverse=True)[:count]) / count


def make_batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    probabilities = (3 * torch.randn(2, 4, 5, 10, dtype=dtype)).softmax(1)
    class_map = torch.randint(0, 4, (2, 5, 10), dtype=torch.uint8)
    class_map[torch.rand(2, 5, 10) > 0.7] = 255
    return probabilities, class_map


@pytest.mark.parametrize("share", [0.2, 1.0, 0.05, 0.29])
def test_values_match_the_formula(share: float) -> None:
    probabilities, class_map = make_batch()
    expected = reference(probabilities, class_map, share)
    assert float(hard_cross_entropy(probabilities, class_map, share)) == pytest.approx(expected)


def test_gradient_passes_gradcheck() -> None:
    logits, class_map = torch.randn(1, 4, 5, 5, dtype=torch.float64, requires_grad=True), make_batch()[1][:1, :, :5]
    assert torch.autograd.gradcheck(lambda z: hard_cross_entropy(z.softmax(1), class_map), logits)


def test_the_class_of_an_absent_channel_costs_the_largest_loss_without_gradient() -> None:
    probabilities = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1).requires_grad_()
    loss = hard_cross_entropy(probabilities, torch.ones(1, 1, 1, dtype=torch.long), 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-6), rel=1e-6)
    assert probabilities.grad is not None and not probabilities.grad.any()


def test_unknown_pixels_count_in_the_number_but_have_no_loss() -> None:
    probabilities, class_map = torch.full((1, 2, 1, 10), 0.5), torch.zeros(1, 1, 10, dtype=torch.uint8)
    class_map[..., 1:] = 255  # one known pixel, two pixels are selected
    assert float(hard_cross_entropy(probabilities, class_map)) == pytest.approx(math.log(2) / 2)


def test_all_pixels_unknown_give_zero_with_zero_gradients() -> None:
    probabilities = make_batch()[0].requires_grad_()
    loss = hard_cross_entropy(probabilities, torch.full((2, 5, 10), 255))
    loss.backward()
    assert loss.item() == 0
    assert probabilities.grad is not None and not probabilities.grad.any()


def test_ties_at_the_threshold_share_the_remaining_weight() -> None:
    probabilities = torch.full((1, 2, 1, 10), 0.5, requires_grad=True)
    hard_cross_entropy(probabilities, torch.zeros(1, 1, 10, dtype=torch.long)).backward()
    assert probabilities.grad is not None
    # the derivative of each value is -2; two of ten are selected, hence each has the weight 1/10 of their mean
    torch.testing.assert_close(probabilities.grad[0, 0], torch.full((1, 10), -0.2))


def test_the_selected_number_is_rounded_down_and_at_least_one() -> None:
    assert [selected_count(n, share) for n, share in ((100, 0.29), (99, 0.2), (3, 0.2), (7, 1.0))] == [29, 19, 1, 7]
    for share in (0, 1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match="share of hard pixels"):
            selected_count(10, share)


@pytest.mark.parametrize("distinct", [1, 3, 10**6])
@pytest.mark.parametrize("count", [1, 40, 199, 200])
def test_the_threshold_over_processes_equals_that_of_all_values(distinct: int, count: int) -> None:
    values = (torch.randint(0, distinct, (200,)) / 7).sqrt()
    parts = [values[:50], values[50:51], values[51:]]
    calls: list[int] = []
    expected = find_threshold(values, count)

    def on_process(own: Tensor) -> Tensor:
        """Sum the selected values of one process, with counts added over all of them."""
        found = _threshold_of_processes(parts, count, calls)
        assert torch.equal(found.value, expected.value)
        torch.testing.assert_close(found.tie_weight, expected.tie_weight)
        return sum_hard(own, found)

    total = sum(on_process(part) for part in parts)
    torch.testing.assert_close(total, values.sort(descending=True).values[:count].sum())
    assert len(calls) == 2 * len(parts)


def _threshold_of_processes(parts: list[Tensor], count: int, calls: list[int]) -> HardThreshold:
    """Find the threshold as the first process does, with the histograms of the others computed here."""
    bits = torch.cat([part.view(torch.int32) for part in parts]).long()

    def reduce(histogram: Tensor) -> Tensor:
        calls.append(len(histogram))
        if len(calls) % 2:
            return torch.bincount(bits // 65536, minlength=65536)
        upper = _upper_of_threshold(bits, count)
        return torch.bincount(bits[bits // 65536 == upper] % 65536, minlength=65536)

    return find_threshold(parts[0], count, reduce)


def _upper_of_threshold(bits: Tensor, count: int) -> int:
    return int(bits.sort(descending=True).values[count - 1]) // 65536


def test_half_precision_is_converted() -> None:
    probabilities, class_map = make_batch(torch.float32)
    loss = hard_cross_entropy(probabilities.half(), class_map)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, hard_cross_entropy(probabilities, class_map), rtol=2e-2, atol=1e-2)


def test_shapes_that_do_not_match_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"got \(2, 4, 5, 10\) and \(2, 4, 5, 10\)"):
        pixel_cross_entropy(*[make_batch()[0]] * 2)
