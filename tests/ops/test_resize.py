"""aligned_upsample against its definition, cell by cell; sample_grid against ramps and aligned_upsample."""

import math

import pytest
import torch
from torch import Tensor

from depthbox.ops import aligned_upsample, sample_grid


def sample_axis(values: list[float], factor: int) -> list[float]:
    """Interpolate linearly at clamp((o - factor // 2) / factor, 0, n - 1)."""
    result = []
    for o in range(factor * len(values)):
        place = min(max((o - factor // 2) / factor, 0), len(values) - 1)
        low = math.floor(place)
        high = min(low + 1, len(values) - 1)
        result.append(values[low] + (place - low) * (values[high] - values[low]))
    return result


def reference(x: Tensor, factor: int) -> Tensor:
    rows = torch.tensor([sample_axis(row.tolist(), factor) for row in x], dtype=torch.float64)
    return torch.tensor([sample_axis(column.tolist(), factor) for column in rows.T], dtype=torch.float64).T


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(("height", "width"), [(5, 7), (1, 4), (1, 1)])
def test_matches_the_definition(factor: int, height: int, width: int) -> None:
    x = torch.randn(2, 2, height, width, dtype=torch.float64)
    expected = torch.stack([torch.stack([reference(m, factor) for m in image]) for image in x])
    torch.testing.assert_close(aligned_upsample(x, factor), expected)


@pytest.mark.parametrize("factor", [2, 4])
def test_coarse_cells_keep_their_locations(factor: int) -> None:
    x = torch.randn(1, 1, 5, 6)
    kept = aligned_upsample(x, factor)[..., factor // 2 :: factor, factor // 2 :: factor]
    torch.testing.assert_close(kept, x, rtol=0, atol=0)


@pytest.mark.parametrize("factor", [2, 3])
def test_gradient_passes_gradcheck(factor: int) -> None:
    x = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: aligned_upsample(x, factor), x)


def test_odd_factors_flip_with_the_image() -> None:
    x = torch.randn(1, 1, 4, 5)
    torch.testing.assert_close(aligned_upsample(x.flip(3), 3), aligned_upsample(x, 3).flip(3))


def test_an_empty_batch_stays_on_the_graph() -> None:
    # Without queries, every parameter still needs a gradient: otherwise distributed training deadlocks.
    x = torch.zeros(0, 1, 3, 4, requires_grad=True)
    result = aligned_upsample(x, 2)
    assert result.shape == (0, 1, 6, 8)
    assert result.requires_grad


def test_empty_maps() -> None:
    assert aligned_upsample(torch.zeros(2, 1, 0, 4), 2).shape == (2, 1, 0, 8)


def test_half_precision_is_kept() -> None:
    x = torch.randn(1, 1, 4, 5)
    result = aligned_upsample(x.bfloat16(), 4)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), aligned_upsample(x, 4), rtol=0, atol=0.05)


def test_a_factor_below_one_is_rejected() -> None:
    with pytest.raises(ValueError, match="got 0"):
        aligned_upsample(torch.zeros(1, 1, 2, 2), 0)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
@pytest.mark.parametrize(("height", "width"), [(4, 5), (1, 3), (2, 1), (1, 1)])
def test_values_are_equal_with_and_without_gradients(factor: int, height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    assert torch.equal(aligned_upsample(x, factor).detach(), aligned_upsample(x.detach(), factor))
    assert torch.autograd.gradcheck(lambda x: aligned_upsample(x, factor), x)


@pytest.mark.parametrize(("source", "target"), [((64, 96), (64, 96)), ((96, 144), (64, 96)), ((50, 70), (97, 131))])
def test_sample_grid_keeps_locations_between_views(source: tuple[int, int], target: tuple[int, int]) -> None:
    rows, columns = (-(-side // 4) for side in source)
    y = (torch.arange(rows) * 4 + 2 + 0.5) / source[0]
    x = (torch.arange(columns) * 4 + 2 + 0.5) / source[1]
    ramps = torch.stack((y[:, None].expand(rows, columns), x[None].expand(rows, columns)))
    result = sample_grid(ramps, 4, source, target)
    assert result.shape == (2, *(-(-side // 4) for side in target))
    for axis, (side, values) in enumerate(zip(target, (result[0, :, 0], result[1, 0]), strict=True)):
        expected = (torch.arange(len(values)) * 4 + 2 + 0.5) / side
        low, high = ramps[axis].min(), ramps[axis].max()
        torch.testing.assert_close(values, expected.clamp(low, high), atol=1e-4, rtol=0)


def test_sample_grid_at_all_pixels_equals_aligned_upsample() -> None:
    values = torch.rand(3, 16, 24)
    x, y = torch.arange(96) + 0.5, torch.arange(64) + 0.5
    expected = aligned_upsample(values[:, None], 4)[:, 0]
    torch.testing.assert_close(sample_grid(values, 4, (64, 96), (64, 96), x, y), expected)


def test_sample_grid_with_given_locations_equals_its_default_there() -> None:
    values = torch.rand(2, 16, 24)
    x, y = torch.arange(33) * 4 + 2.5, torch.arange(25) * 4 + 2.5
    assert torch.equal(sample_grid(values, 4, (64, 96), (97, 131), x, y), sample_grid(values, 4, (64, 96), (97, 131)))
    assert sample_grid(values[:0], 4, (64, 96), (97, 131)).shape == (0, 25, 33)


def test_sample_grid_ignores_the_padding_of_the_source() -> None:
    values = torch.rand(1, 8, 12)
    padded = torch.nn.functional.pad(values, (0, 4, 0, 3), value=9.0)
    inside = torch.arange(40) + 0.5, torch.arange(28) + 0.5  # up to the last sampled pixel
    sampled = [sample_grid(maps, 4, (32, 48), (32, 48), *inside) for maps in (values, padded)]
    torch.testing.assert_close(*sampled)
