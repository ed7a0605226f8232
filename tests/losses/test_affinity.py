"""Affinity loss of one image against a loop over pairs in float64."""

import pytest
import torch
from affinity_toy import pair_means_by_loop

from depthbox.losses import affinity_loss
from depthbox.ops.affinity import segments_at_stride


@pytest.mark.parametrize("rows", [64, 5])
@pytest.mark.parametrize("background", ["ignore", "negative"])
def test_values_match_the_formula(rows: int, background: str) -> None:
    features, masks = torch.randn(4, 14, dtype=torch.float64), torch.rand(3, 14) > 0.7
    expected = pair_means_by_loop(features, masks, background, 0.5).sum() / 2
    actual = affinity_loss(features, masks, scale=0.5, background=background, rows=rows)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("rows", [64, 5])
def test_gradient_passes_gradcheck(rows: int) -> None:
    features = torch.randn(4, 14, dtype=torch.float64, requires_grad=True)
    masks = torch.rand(3, 14) > 0.7
    assert torch.autograd.gradcheck(lambda features: affinity_loss(features, masks, rows=rows), features)


@pytest.mark.parametrize("rows", [64, 5])
def test_a_perfect_affinity_has_nearly_no_loss(rows: int) -> None:
    # a second sigmoid would leave A between 0.5 and 0.73
    masks = torch.zeros(2, 14, dtype=torch.bool)
    masks[0, :8] = masks[1, 8:] = True
    features = torch.where(masks[0], 4.0, -4.0).expand(4, -1)
    assert float(affinity_loss(features, masks, rows=rows)) < 0.01


@pytest.mark.parametrize("rows", [64, 5])
def test_pairs_of_background_matter_only_if_they_are_negative(rows: int) -> None:
    masks = torch.zeros(1, 14, dtype=torch.bool)
    masks[0, :5] = True
    orthogonal = torch.zeros(4, 14)
    orthogonal[0, :5], orthogonal[1, 5:] = 3, 3
    doubled = orthogonal.clone()
    doubled[1, 5:] = 6  # affinity of background with background alone
    ignore = [float(affinity_loss(f, masks, rows=rows)) for f in (orthogonal, doubled)]
    negative = [float(affinity_loss(f, masks, background="negative", rows=rows)) for f in (orthogonal, doubled)]
    assert ignore[0] == pytest.approx(ignore[1], abs=1e-6)
    assert negative[1] > negative[0] + 1e-5


@pytest.mark.parametrize("rows", [64, 5])
@pytest.mark.parametrize("masks", [torch.zeros(0, 14, dtype=torch.bool), torch.zeros(2, 14, dtype=torch.bool)])
def test_an_image_without_instances_counts_zero(rows: int, masks: torch.Tensor) -> None:
    features = torch.randn(4, 14, requires_grad=True)
    loss = affinity_loss(features, masks, background="negative", rows=rows)
    loss.backward()
    assert float(loss.detach()) == 0
    assert features.grad is not None and not features.grad.any()


def test_500_instances_run_and_equal_the_plain_form() -> None:
    owner = torch.arange(1, 526).reshape(25, 21).repeat_interleave(5, 0).repeat_interleave(5, 1)
    owner = torch.where(owner <= 500, owner, 0)
    segments = segments_at_stride(owner)
    features = torch.randn(8, len(segments))
    assert segments.shared.sum() > 100
    torch.testing.assert_close(
        affinity_loss(features, segments, rows=128), affinity_loss(features, segments, rows=10**6)
    )
