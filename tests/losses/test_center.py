"""Center maps and their squared error against loops over pixels in float64."""

import math

import pytest
import torch
from torch import Tensor

from depthbox.losses import center_loss, center_map


def map_by_loop(
    points: list[tuple[float, float]], classes: list[int], shape: tuple[int, int, int], sigma: float
) -> Tensor:
    result = torch.zeros(shape, dtype=torch.float64)
    half = (6 * sigma + 3) // 2
    for (px, py), c in zip(points, classes, strict=True):
        x, y = math.floor(px), math.floor(py)
        if not (0 <= x < shape[2] and 0 <= y < shape[1]):
            continue
        for v in range(shape[1]):
            for u in range(shape[2]):
                if abs(u - x) <= half and abs(v - y) <= half:
                    value = math.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * sigma**2))
                    result[c, v, u] = max(float(result[c, v, u]), value)
    return result


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_values_match_the_formula(sigma: float) -> None:
    points = [(0.0, 0.0), (19.9, 14.9), (7.5, 3.5), (9.2, 4.7), (-0.5, 4.0), (20.0, 3.0), (5.0, 15.0)]
    classes = [0, 1, 1, 1, 0, 2, 2]
    actual = center_map(torch.tensor(points), torch.tensor(classes), 3, (15, 20), sigma=sigma)
    torch.testing.assert_close(actual.double(), map_by_loop(points, classes, (3, 15, 20), sigma), rtol=1e-6, atol=1e-7)
    assert float(actual[0, 0, 0]) == float(actual[1, 14, 19]) == 1  # points on the first and on the last pixel count
    assert not actual[2].any()  # points outside leave no trace


def test_a_point_between_pixels_belongs_to_the_pixel_that_contains_it() -> None:
    half = center_map(torch.tensor([[4.5, 2.5]]), torch.tensor([0]), 1, (6, 9))
    assert torch.equal(half, center_map(torch.tensor([[4.0, 2.0]]), torch.tensor([0]), 1, (6, 9)))


def test_no_point_a_missing_point_and_500_points() -> None:
    empty = center_map(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), 2, (6, 9))
    assert not empty.any() and empty.shape == (2, 6, 9)
    assert not center_map(torch.tensor([[float("nan"), 2.0]]), torch.tensor([0]), 1, (6, 9)).any()
    many = torch.rand(500, 2) * 64
    bumps = center_map(many, torch.zeros(500, dtype=torch.long), 1, (64, 64), sigma=2)[0]
    x, y = many.long().unbind(1)
    assert bool((bumps[y, x] == 1).all())


def test_a_sigma_of_zero_is_rejected() -> None:
    with pytest.raises(ValueError, match="sigma must be positive, got 0"):
        center_map(torch.zeros(1, 2), torch.tensor([0]), 1, (6, 9), sigma=0)


def loss_by_loop(predictions: Tensor, targets: Tensor, weight: Tensor) -> float:
    squares = [
        float(weight[b, y, x]) * (float(predictions[b, k, y, x]) - float(targets[b, k, y, x])) ** 2
        for b, k, y, x in torch.ones_like(predictions).nonzero().tolist()
    ]
    return sum(squares) / max(sum(float(w) > 0 for w in weight.flatten()), 1)


def test_the_loss_matches_the_formula_and_passes_gradcheck() -> None:
    predictions = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    targets, weight = torch.rand(2, 3, 4, 5), torch.rand(2, 4, 5) * (torch.rand(2, 4, 5) > 0.5)
    expected = loss_by_loop(predictions.detach(), targets, weight)
    assert center_loss(predictions, targets, weight).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda predictions: center_loss(predictions, targets, weight), predictions)
    assert center_loss(predictions, targets, 0 * weight).item() == 0


def test_shapes_that_do_not_match_are_rejected() -> None:
    with pytest.raises(ValueError, match="weight: \\(B, H, W\\)"):
        center_loss(torch.zeros(1, 3, 4, 5), torch.zeros(1, 3, 4, 5), torch.zeros(1, 1, 4, 5))
