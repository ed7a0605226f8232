"""Grouping of pixels by offset and point against loops, offsets to the owners, softmax over present classes."""

import math

import pytest
import torch
from grouping_toy import make_blobs, make_points, refined_owner_by_loop

from depthbox.modeling.points import offset_targets, present_probabilities, refine_owners


@pytest.mark.parametrize("seed", range(4))
def test_owners_match_the_definition(seed: int) -> None:
    torch.manual_seed(seed)
    class_map, offsets = make_blobs(20, 24), torch.randn(2, 20, 24) * 4
    points, classes = make_points(class_map, 9)
    owner = refine_owners(class_map, offsets, points, classes)
    assert torch.equal(owner, refined_owner_by_loop(class_map, offsets, points, classes))
    known = (class_map > 0) & (class_map < 255) & torch.isin(class_map, classes + 1)
    assert torch.equal(owner > 0, known)  # no limit of area or distance, all instances of all classes


def test_ties_go_to_the_first_point() -> None:
    class_map = torch.ones(5, 11, dtype=torch.uint8)
    points = torch.tensor([[8.0, 2.0], [2.0, 2.0], [8.5, 2.5]])
    owner = refine_owners(class_map, torch.zeros(2, 5, 11), points, torch.zeros(3, dtype=torch.long))
    assert owner[2].tolist() == [2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]


def test_offsets_are_rows_first_and_lead_across_components() -> None:
    class_map = torch.zeros(9, 20, dtype=torch.uint8)
    class_map[:, :5] = class_map[:, 15:] = 1
    offsets = torch.zeros(2, 9, 20)
    offsets[1, :, 15:] = -15  # x
    points = torch.tensor([[2.0, 4.0], [17.0, 4.0]])
    owner = refine_owners(class_map, offsets, points, torch.tensor([0, 0]))
    assert torch.equal(owner, (class_map == 1).long())
    swapped = refine_owners(class_map, offsets.flip(0), points, torch.tensor([0, 0]))
    assert swapped[:, 15:].eq(2).all()


@pytest.mark.parametrize("seed", range(2))
def test_regions_limit_the_pixels_of_an_object(seed: int) -> None:
    torch.manual_seed(seed)
    class_map, offsets = make_blobs(20, 24), torch.randn(2, 20, 24)
    points, classes = make_points(class_map, 9)
    regions = torch.cat((points - 5.5, points + 4.2), dim=1)
    owner = refine_owners(class_map, offsets, points, classes, regions)
    assert torch.equal(owner, refined_owner_by_loop(class_map, offsets, points, classes, regions))


def test_true_masks_fix_their_pixels_and_their_objects_get_no_other() -> None:
    class_map = torch.ones(6, 8, dtype=torch.uint8)
    mask_owner = torch.zeros(6, 8, dtype=torch.int32)
    mask_owner[:, :2] = 2
    points, classes = torch.tensor([[6.0, 3.0], [0.0, 3.0]]), torch.tensor([0, 0])
    owner = refine_owners(class_map, torch.zeros(2, 6, 8), points, classes, mask_owner=mask_owner)
    assert owner[:, :2].eq(2).all() and owner[:, 2:].eq(1).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_pixel_with_an_offset_that_is_not_finite_gets_no_owner(value: float) -> None:
    offsets = torch.zeros(2, 5, 6)
    offsets[0, 2, 3] = value
    owner = refine_owners(torch.ones(5, 6), offsets, torch.tensor([[1.0, 1.0]]), torch.tensor([0]))
    assert owner[2, 3] == 0 and owner.sum() == 29


@pytest.mark.parametrize("value", [0, 2, 255])
def test_class_maps_without_the_class_of_the_point_give_no_owner(value: int) -> None:
    class_map = torch.full((5, 6), value)
    assert not refine_owners(class_map, torch.zeros(2, 5, 6), torch.tensor([[1.0, 1.0]]), torch.tensor([0])).any()


def test_no_point_and_points_outside_give_no_owner() -> None:
    class_map, offsets = torch.ones(5, 6), torch.zeros(2, 5, 6)
    assert not refine_owners(class_map, offsets, torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)).any()
    outside = torch.tensor([[6.0, 1.0], [1.0, -0.5], [float("nan")] * 2])
    assert not refine_owners(class_map, offsets, outside, torch.zeros(3, dtype=torch.long)).any()


def test_a_point_on_the_last_pixel_and_one_at_zero_own_pixels() -> None:
    points = torch.tensor([[5.99, 4.99], [0.0, 0.0]])
    owner = refine_owners(torch.ones(5, 6), torch.zeros(2, 5, 6), points, torch.tensor([0, 0]))
    assert owner[4, 5] == 1 and owner[0, 0] == 2


def test_3000_points_equal_a_search_with_a_tree() -> None:
    from scipy.spatial import cKDTree

    class_map = torch.ones(96, 128, dtype=torch.uint8)
    points = torch.rand(3000, 2) * torch.tensor([128, 96])
    offsets = torch.randn(2, 96, 128)
    owner = refine_owners(class_map, offsets, points, torch.zeros(3000, dtype=torch.long))
    y, x = torch.meshgrid(torch.arange(96), torch.arange(128), indexing="ij")
    targets = torch.stack((x + offsets[1].double(), y + offsets[0].double()), dim=-1)
    pixels = points.floor().double()
    found = (targets - pixels[owner - 1]).norm(dim=-1)
    expected, _ = cKDTree(pixels.numpy()).query(targets.numpy())
    torch.testing.assert_close(found, torch.from_numpy(expected))


def test_ties_among_many_points_go_to_the_first() -> None:
    # a grid with each point twice, in random order; pixels halfway between two, and in the middle of four
    grid = torch.cartesian_prod(torch.arange(1, 24, 2), torch.arange(1, 24, 2)).float().repeat(2, 1)
    points = grid[torch.randperm(len(grid))]
    class_map, offsets, classes = torch.ones(24, 24), torch.zeros(2, 24, 24), torch.zeros(288, dtype=torch.long)
    owner = refine_owners(class_map, offsets, points, classes)
    assert torch.equal(owner, refined_owner_by_loop(class_map, offsets, points, classes))


def test_offset_targets_lead_from_each_owned_pixel_to_its_target() -> None:
    owner = torch.randint(0, 4, (7, 9))
    targets = torch.tensor([[3.7, 2.2], [8.0, 6.0], [0.0, 0.0]])
    offsets = offset_targets(owner, targets)
    for y, x in torch.ones_like(owner).nonzero().tolist():
        i = int(owner[y, x]) - 1
        expected = [0, 0] if i < 0 else [math.floor(targets[i, 1]) - y, math.floor(targets[i, 0]) - x]
        assert offsets[:, y, x].tolist() == expected


def test_probabilities_are_a_softmax_over_background_and_present_classes() -> None:
    logits = torch.randn(5, 3, 4, dtype=torch.float64)
    probabilities = present_probabilities(logits, torch.tensor([3, 1, 3]))
    kept = logits[[0, 2, 4]].exp()  # class c is channel c + 1
    torch.testing.assert_close(probabilities[[0, 2, 4]], kept / kept.sum(0))
    assert not probabilities[[1, 3]].any()
    alone = present_probabilities(logits, torch.zeros(0, dtype=torch.long))
    assert bool((alone[0] == 1).all()) and not alone[1:].any()


def test_absent_classes_get_a_gradient_of_zero() -> None:
    logits = torch.randn(4, 6, requires_grad=True)
    present_probabilities(logits, torch.tensor([0, 2])).square().sum().backward()
    assert logits.grad is not None and bool(logits.grad.isfinite().all())
    assert logits.grad[[0, 1, 3]].any() and not logits.grad[2].any()
