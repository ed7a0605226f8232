"""Propagation and pair means against loops in float64, in the plain form and in tiles."""

import math

import pytest
import torch
from affinity_toy import pair_means_by_loop, propagate_by_loop
from torch import Tensor

from depthbox.ops.affinity import (
    affinity_matrix,
    propagate,
    propagate_and_compare,
    saturated_share,
    segments_at_stride,
    segments_from_masks,
)

CELLS = 17
TILES = [64, 17, 6, 1]  # plain, plain, three tiles on each axis with a short one, a tile per pair


def make_masks(count: int = 4, cells: int = CELLS) -> Tensor:
    """Masks that overlap, with cells in none, and cells in several."""
    return torch.rand(count, cells) > 0.7


@pytest.mark.parametrize("rows", TILES)
@pytest.mark.parametrize(("scale", "power"), [(1.0, 1.0), (0.3, 4.0), (0.6, 8.0), (2.0, 0.5)])
def test_propagation_is_the_weighted_mean_of_the_definition(rows: int, scale: float, power: float) -> None:
    features, values = torch.randn(3, CELLS, dtype=torch.float64), torch.rand(5, CELLS, dtype=torch.float64)
    actual = propagate(features, values, scale=scale, power=power, rows=rows)
    expected = propagate_by_loop(features, values, scale, power)
    torch.testing.assert_close(actual, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("rows", TILES)
@pytest.mark.parametrize("background", ["ignore", "negative"])
def test_pair_means_match_the_definition_with_overlapping_segments(rows: int, background: str) -> None:
    features = torch.randn(3, CELLS, dtype=torch.float64)
    sets = [make_masks(), make_masks(1), make_masks(9)]
    result = propagate_and_compare(
        features, None, [segments_from_masks(m) for m in sets], scale=0.7, background=background, rows=rows
    )
    expected = torch.stack([pair_means_by_loop(features, masks, background, 0.7) for masks in sets])
    torch.testing.assert_close(result.pair_means, expected, rtol=1e-12, atol=1e-12)
    assert result.propagated.shape == (0, CELLS)


@pytest.mark.parametrize("rows", [64, 6])
@pytest.mark.parametrize("power", [1.0, 3.0])
def test_gradients_of_both_results_together_pass_gradcheck(rows: int, power: float) -> None:
    features = torch.randn(3, CELLS, dtype=torch.float64, requires_grad=True)
    values = torch.rand(2, CELLS, dtype=torch.float64, requires_grad=True)
    sets = [segments_from_masks(make_masks()), segments_from_masks(make_masks(2))]

    def run(features: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        result = propagate_and_compare(features, values, sets, scale=0.8, power=power, rows=rows)
        return result.propagated, result.pair_means

    assert torch.autograd.gradcheck(run, (features, values))


@pytest.mark.parametrize("background", ["ignore", "negative"])
def test_gradients_of_the_pair_means_alone_pass_gradcheck(background: str) -> None:
    features = torch.randn(3, CELLS, dtype=torch.float64, requires_grad=True)
    sets = [segments_from_masks(make_masks())]

    def run(features: Tensor) -> Tensor:
        return propagate_and_compare(features, None, sets, background=background, rows=6).pair_means

    assert torch.autograd.gradcheck(run, features)


def compare_forms(cells: tuple[int, int], objects: int, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Return results and gradients of the plain form and of the tiles."""
    count = cells[0] * cells[1]
    owner = torch.randint(0, objects + 1, cells).repeat_interleave(6, 0).repeat_interleave(6, 1)
    height, width = 4 * cells[0], 4 * cells[1]
    sets = [segments_at_stride(part) for part in (owner[:height, :width], owner[3 : height + 3, 2 : width + 2])]
    features, values = torch.randn(16, count, dtype=dtype) / 2, torch.randn(4, count, dtype=dtype).softmax(0)
    cotangent = torch.randn(4, count, dtype=dtype)
    found = []
    for rows in (count, 128):
        leaves = [features.clone().requires_grad_(), values.clone().requires_grad_()]
        result = propagate_and_compare(*leaves, sets, rows=rows)
        total = (result.propagated * cotangent).sum() + 100 * result.pair_means.sum()
        found.append([result.propagated, result.pair_means, *torch.autograd.grad(total, leaves)])
    return found[0], found[1]


@pytest.mark.parametrize("objects", [1, 8, 500])
def test_tiles_equal_the_plain_form_in_float32(objects: int) -> None:
    plain, tiled = compare_forms((24, 30), objects, torch.float32)
    torch.testing.assert_close(tiled[0], plain[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(tiled[1], plain[1], rtol=1e-6, atol=1e-6)
    for actual, expected in zip(tiled[2:], plain[2:], strict=True):
        assert float((actual - expected).abs().max()) < 2e-6 * float(expected.abs().max())


def test_tiles_equal_the_plain_form_in_float64() -> None:
    for actual, expected in zip(*compare_forms((20, 21), 8, torch.float64), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("rows", [64, 6])
def test_propagated_probabilities_keep_their_sum(rows: int) -> None:
    # a weighted mean over the senders, not a normalization over the receivers
    probabilities = torch.randn(5, CELLS).softmax(0)
    sums = propagate(torch.randn(3, CELLS) * 2, probabilities, rows=rows).sum(0)
    torch.testing.assert_close(sums, torch.ones(CELLS))


@pytest.mark.parametrize("rows", [64, 6])
def test_the_order_of_the_cells_does_not_matter(rows: int) -> None:
    features, values = torch.randn(3, CELLS, dtype=torch.float64), torch.rand(2, CELLS, dtype=torch.float64)
    masks, order = make_masks(), torch.randperm(CELLS)
    first = propagate_and_compare(features, values, [segments_from_masks(masks)], rows=rows)
    second = propagate_and_compare(
        features[:, order], values[:, order], [segments_from_masks(masks[:, order])], rows=rows
    )
    torch.testing.assert_close(second.propagated, first.propagated[:, order])
    torch.testing.assert_close(second.pair_means, first.pair_means)


@pytest.mark.parametrize("rows", [64, 6])
@pytest.mark.parametrize("background", ["ignore", "negative"])
def test_no_owned_cell_gives_means_and_gradients_of_zero(rows: int, background: str) -> None:
    features = torch.randn(3, CELLS, requires_grad=True)
    empty = segments_from_masks(torch.zeros(2, CELLS, dtype=torch.bool))
    means = propagate_and_compare(features, None, [empty], background=background, rows=rows).pair_means
    (gradient,) = torch.autograd.grad(means.sum(), features)
    assert means.tolist() == [[0, 0]]
    assert torch.equal(gradient, torch.zeros_like(features))


@pytest.mark.parametrize("rows", [1024, 128])
def test_one_instance_on_all_cells_has_no_negative_pair_and_no_rounding_error_there(rows: int) -> None:
    features = torch.randn(8, 600)
    whole = segments_from_masks(torch.ones(1, 600, dtype=torch.bool))
    means = propagate_and_compare(features, None, [whole], rows=rows).pair_means[0]
    expected = (1 - affinity_matrix(features.double())).sum() / (600 * 600 + 1)
    assert float(means[1]) == 0
    torch.testing.assert_close(means[0], expected.float())


@pytest.mark.parametrize("rows", [64, 6])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_and_half_precision_do_not_lower_the_precision(rows: int, dtype: torch.dtype) -> None:
    features, values = torch.randn(8, CELLS).to(dtype), torch.rand(2, CELLS)
    sets = [segments_from_masks(make_masks())]
    expected = propagate_and_compare(features.double(), values.double(), sets, rows=rows)
    with torch.autocast("cpu", torch.bfloat16):
        actual = propagate_and_compare(features, values, sets, rows=rows)
    assert actual.propagated.dtype == actual.pair_means.dtype == torch.float32
    torch.testing.assert_close(actual.propagated, expected.propagated.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(actual.pair_means, expected.pair_means.float(), rtol=1e-5, atol=1e-5)


def test_half_precision_features_get_a_gradient_of_their_dtype() -> None:
    features = torch.randn(8, CELLS, dtype=torch.bfloat16, requires_grad=True)
    propagate(features, torch.rand(2, CELLS), rows=6).square().sum().backward()
    assert features.grad is not None and features.grad.dtype == torch.bfloat16
    assert bool(features.grad.isfinite().all())


@pytest.mark.parametrize("rows", [512, 16])
def test_saturated_features_stay_finite(rows: int) -> None:
    features = (torch.randn(4, 40) * 100).requires_grad_()
    result = propagate_and_compare(
        features, torch.rand(3, 40), [segments_from_masks(make_masks(3, 40))], power=8, rows=rows
    )
    (gradient,) = torch.autograd.grad(result.propagated.sum() + result.pair_means.sum(), features)
    assert bool(result.propagated.isfinite().all() & result.pair_means.isfinite().all() & gradient.isfinite().all())


def test_the_share_of_saturated_pairs_is_that_of_a_loop() -> None:
    features = 2 * torch.randn(3, CELLS)
    pairs = [1 / (1 + math.exp(-float(a @ b))) for a in features.t() for b in features.t()]
    expected = sum(a * (1 - a) < 0.01 for a in pairs) / len(pairs)
    assert 0 < expected < 1
    assert float(saturated_share(features)) == pytest.approx(expected)
    assert float(saturated_share(torch.zeros(3, 1000))) == 0 and float(saturated_share(9 * torch.ones(3, 1000))) == 1


def test_values_without_gradient_and_features_without_gradient_are_accepted() -> None:
    features, values = torch.randn(3, CELLS), torch.rand(2, CELLS, requires_grad=True)
    propagate(features, values, rows=6).sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad.sum(), torch.tensor(2.0 * CELLS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": torch.zeros(2, 5)}, r"values must have the shape \(C, 17\), got \(2, 5\)"),
        ({"features": torch.zeros(2, 3, 17)}, r"features must have the shape \(D, n\)"),
        ({"segment_sets": [segments_from_masks(torch.ones(1, 4, dtype=torch.bool))]}, "segments of 4 cells"),
        ({"power": 0.0}, "power of the affinity must be positive, got 0"),
        ({"background": "positive"}, "'positive'"),
        ({"rows": 0}, "at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_rejected(options: dict, message: str) -> None:
    arguments = {"features": torch.zeros(3, CELLS), "values": torch.zeros(2, CELLS), "segment_sets": []} | options
    with pytest.raises(ValueError, match=message):
        propagate_and_compare(**arguments)
