"""Dice loss against its formula, summed pixel by pixel in float64."""

import pytest
import torch

from depthbox.losses import dice_loss, dice_loss_from_logits


def reference(scores: list[float], targets: list[float]) -> float:
    product = sum(x * t for x, t in zip(scores, targets, strict=True))
    squares = sum(x * x for x in scores) + sum(t * t for t in targets)
    return 1 - 2 * product / (squares + 1e-5)


def test_values_match_the_formula() -> None:
    scores, targets = torch.rand(4, 1, 5, 6, dtype=torch.float64), torch.rand(4, 1, 5, 6, dtype=torch.float64)
    targets[1] = 0
    expected = [reference(x.flatten().tolist(), t.flatten().tolist()) for x, t in zip(scores, targets, strict=True)]
    torch.testing.assert_close(dice_loss(scores, targets), torch.tensor(expected, dtype=torch.float64))


def test_equal_masks_give_zero_and_disjoint_or_empty_masks_give_one() -> None:
    ones, zeros = torch.ones(1, 30), torch.zeros(1, 30)
    assert dice_loss(ones, ones) < 1e-6
    assert dice_loss(ones, zeros) == 1
    assert dice_loss(zeros, zeros) == 1


def test_gradient_passes_gradcheck() -> None:
    scores = torch.rand(3, 7, dtype=torch.float64, requires_grad=True)
    targets = torch.rand(3, 7) > 0.5
    assert torch.autograd.gradcheck(lambda scores: dice_loss(scores, targets), scores)


def test_no_instances_stay_on_the_graph() -> None:
    scores = torch.zeros(0, 1, 4, 5, requires_grad=True)
    loss = dice_loss(scores, torch.zeros(0, 1, 4, 5))
    assert loss.shape == (0,) and loss.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    # the sum of 90,000 is above the largest float16
    scores = torch.full((1, 300, 300), 0.5, dtype=dtype)
    loss = dice_loss(scores, torch.ones(1, 300, 300))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, torch.tensor([0.2]))


def test_different_shapes_are_rejected() -> None:
    with pytest.raises(ValueError, match="one shape"):
        dice_loss(torch.zeros(2, 3), torch.zeros(2, 1))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("instances_per_chunk", [1, 2, 100])
def test_the_form_on_logits_matches_the_definition(
    soft: bool, instances_per_chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("depthbox.losses.dice._CHUNK", 30 * instances_per_chunk)
    logits = 3 * torch.randn(5, 1, 5, 6, dtype=torch.float64)
    targets = torch.rand(3, 5, 6, dtype=torch.float64)
    targets = targets if soft else targets > 0.5
    index, weights = torch.tensor([2, 0, 0, 1, 2]), torch.rand(5, dtype=torch.float64)
    gradients, values = [], []
    for of_logits in (True, False):
        x = logits.clone().requires_grad_()
        if of_logits:
            loss = dice_loss_from_logits(x, targets, index)
        else:
            loss = dice_loss(x.sigmoid(), targets[index][:, None])
        (loss * weights).sum().backward()
        assert x.grad is not None
        gradients.append(x.grad)
        values.append(loss.detach())
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_form_on_logits_accepts_no_instances() -> None:
    logits = torch.zeros(0, 1, 4, 5, requires_grad=True)
    loss = dice_loss_from_logits(logits, torch.zeros(0, 4, 5), torch.zeros(0, dtype=torch.int64))
    assert loss.shape == (0,)
    loss.sum().backward()
    assert logits.grad is not None
