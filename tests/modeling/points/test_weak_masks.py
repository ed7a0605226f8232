"""Masks of objects that own no pixel of the class map."""

import pytest
import torch
from torch import Tensor

from depthbox.modeling.points.masks import point_masks
from depthbox.modeling.points.weak_masks import LEAST, add_weak_masks

SIZE = (16, 20)


def bump(level: float) -> Tensor:
    """Probabilities of one class: a strong square on the left, a faint one of ``level`` on the right."""
    foreground = torch.full(SIZE, 0.001)
    foreground[4:10, 2:8] = 0.9
    foreground[4:10, 12:18] = level
    return torch.stack((1 - foreground, foreground))


def masks(level: float, share: float, points: list[list[float]]) -> Tensor:
    found = point_masks(
        bump(level),
        torch.zeros(2, *SIZE),
        torch.tensor(points),
        torch.zeros(len(points), dtype=torch.int64),
        input_size=SIZE,
        output_size=SIZE,
        stride=1,
        weak_share=share,
    )
    return found.owner


def test_faint_object_gets_its_square_and_the_strong_one_keeps_its_own() -> None:
    points = [[4.5, 6.5], [14.5, 6.5]]
    without, found = masks(0.2, 0.0, points), masks(0.2, 0.5, points)
    assert (without == 2).sum() == 0 and (found == 2).sum() == 36 and found[4:10, 12:18].eq(2).all()
    assert torch.equal(found == 1, without == 1) and (found == 1).sum() == 36


@pytest.mark.parametrize("level", [0.0, LEAST / 2])
def test_object_without_any_probability_stays_empty(level: float) -> None:
    assert (masks(level, 0.5, [[4.5, 6.5], [14.5, 6.5]]) == 2).sum() == 0


def test_pixels_below_the_share_and_apart_from_the_point_are_left_out() -> None:
    probabilities = bump(0.3)
    probabilities[1, 4:10, 15:18] = 0.1  # below half of that at the point
    probabilities[1, 12:14, 12:14] = 0.3  # another component
    args = (torch.zeros(2, *SIZE), torch.tensor([[4.5, 6.5], [13.5, 6.5]]), torch.tensor([1, 1]))
    owner = torch.zeros(SIZE, dtype=torch.int64)
    owner[4:10, 2:8] = 1
    found = add_weak_masks(owner, probabilities, *args, 0.5)
    expected = torch.zeros(SIZE, dtype=torch.bool)
    expected[4:10, 12:15] = True
    assert torch.equal(found == 2, expected) and torch.equal(found == 1, owner == 1)


def test_two_faint_objects_share_the_pixels_by_the_nearest_point_and_a_region_limits_them() -> None:
    owner = torch.zeros(SIZE, dtype=torch.int64)
    points, channels = torch.tensor([[13.0, 6.5], [17.5, 6.5]]), torch.tensor([1, 1])
    found = add_weak_masks(owner, bump(0.2), torch.zeros(2, *SIZE), points, channels, 0.5)
    assert (found == 1).sum() == 24 and (found == 2).sum() == 12  # the column between is the first one's
    regions = torch.tensor([[12.0, 4.0, 15.0, 7.0], [0.0, 0.0, 20.0, 16.0]])
    limited = add_weak_masks(owner, bump(0.2), torch.zeros(2, *SIZE), points, channels, 0.5, regions)
    assert (limited == 1).sum() == 9


def test_point_outside_the_image_or_in_a_mask_of_another_object_stays_empty() -> None:
    assert set(masks(0.2, 0.5, [[4.5, 6.5], [50.0, 6.5]]).unique().tolist()) == {0, 1}
    assert set(masks(0.2, 0.5, [[4.5, 6.5], [4.5, 6.5]]).unique().tolist()) == {0, 1}
