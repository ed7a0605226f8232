"""First labels against a breadth-first search in Python, and their degenerate cases."""

import pytest
import torch
from grouping_toy import components_by_search, initial_owner_by_loop, make_blobs, make_points

from depthbox.modeling.points import initial_labels, offset_targets


def one_blob(height: int = 12, width: int = 16) -> torch.Tensor:
    class_map = torch.zeros(height, width, dtype=torch.uint8)
    class_map[2:10, 3:13] = 1
    return class_map


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("min_area", [1, 30])
def test_owners_match_the_definition(seed: int, min_area: int) -> None:
    torch.manual_seed(seed)
    class_map = make_blobs(40, 48)
    points, classes = make_points(class_map, 14)
    labels = initial_labels(class_map, points, classes, min_area=min_area)
    assert torch.equal(labels.owner, initial_owner_by_loop(class_map, points, classes, min_area))
    assert torch.equal(labels.targets, points.floor())


@pytest.mark.parametrize("seed", range(2))
def test_regions_limit_the_pixels_of_an_object(seed: int) -> None:
    torch.manual_seed(seed)
    class_map = make_blobs(40, 48)
    points, classes = make_points(class_map, 14)
    half = torch.rand(14, 2) * 8 + 2
    regions = torch.cat((points - half, points + half), dim=1)
    labels = initial_labels(class_map, points, classes, min_area=1, regions=regions)
    assert torch.equal(labels.owner, initial_owner_by_loop(class_map, points, classes, 1, regions))
    assert not torch.equal(labels.owner, initial_labels(class_map, points, classes, min_area=1).owner)


def test_components_joined_by_a_corner_are_one() -> None:
    class_map = torch.zeros(8, 8, dtype=torch.uint8)
    class_map[:4, :4] = class_map[4:, 4:] = 1
    owner = initial_labels(class_map, torch.tensor([[0.0, 0.0]]), torch.tensor([0]), min_area=32).owner
    assert torch.equal(owner > 0, class_map > 0)
    assert len(components_by_search(class_map == 1)) == 1


def test_the_smallest_area_is_inclusive() -> None:
    class_map, points, classes = one_blob(), torch.tensor([[5.0, 5.0]]), torch.tensor([0])
    assert initial_labels(class_map, points, classes, min_area=80).owner.sum() == 80
    assert initial_labels(class_map, points, classes, min_area=81).owner.sum() == 0


def test_one_point_aims_at_itself_or_at_the_centroid_rounded_down() -> None:
    class_map, points, classes = one_blob(), torch.tensor([[4.7, 2.2]]), torch.tensor([0])
    at_point = initial_labels(class_map, points, classes)
    assert at_point.targets.tolist() == [[4, 2]]
    assert offset_targets(at_point.owner, at_point.targets)[:, 2, 4].tolist() == [0, 0]
    at_centroid = initial_labels(class_map, points, classes, one_point_target="centroid")
    assert at_centroid.targets.tolist() == [[7, 5]]  # of columns 3..12 and rows 2..9


def test_a_component_with_two_points_aims_at_the_points_in_both_variants() -> None:
    points, classes = torch.tensor([[4.0, 4.0], [11.0, 4.0]]), torch.tensor([0, 0])
    labels = initial_labels(one_blob(), points, classes, one_point_target="centroid")
    assert torch.equal(labels.targets, points)
    assert labels.owner[4, 7] == 1 and labels.owner[4, 8] == 2


def test_no_point_gives_no_owner() -> None:
    labels = initial_labels(one_blob(), torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    assert not labels.owner.any() and labels.targets.shape == (0, 2)
    assert not offset_targets(labels.owner, labels.targets).any()


@pytest.mark.parametrize("value", [0, 2, 255])
def test_class_maps_without_the_class_of_the_point_give_no_owner(value: int) -> None:
    class_map = torch.full((12, 16), value, dtype=torch.uint8)
    assert not initial_labels(class_map, torch.tensor([[5.0, 5.0]]), torch.tensor([0])).owner.any()


def test_a_point_on_another_class_gets_no_pixel_and_takes_none() -> None:
    labels = initial_labels(one_blob(), torch.tensor([[5.0, 5.0], [6.0, 5.0]]), torch.tensor([1, 0]))
    assert labels.owner.unique().tolist() == [0, 2]


def test_of_two_points_on_one_pixel_the_first_wins() -> None:
    points = torch.tensor([[5.9, 5.1], [5.2, 5.8], [11.0, 5.0]])
    labels = initial_labels(one_blob(), points, torch.tensor([0, 0, 0]))
    assert labels.owner.unique().tolist() == [0, 1, 3]


def test_points_on_the_first_and_the_last_pixel_count() -> None:
    class_map = torch.ones(8, 10, dtype=torch.uint8)
    points = torch.tensor([[0.0, 0.0], [9.9, 7.9]])
    labels = initial_labels(class_map, points, torch.tensor([0, 0]))
    assert labels.owner[0, 0] == 1 and labels.owner[7, 9] == 2
    assert labels.owner.min() == 1


@pytest.mark.parametrize("point", [[float("nan"), 3.0], [16.0, 3.0], [-0.1, 3.0], [5.0, 12.0]])
def test_missing_points_and_points_outside_do_not_compete(point: list[float]) -> None:
    labels = initial_labels(one_blob(), torch.tensor([point, [6.0, 5.0]]), torch.tensor([0, 0]))
    assert labels.owner.unique().tolist() == [0, 2]
    assert bool(offset_targets(labels.owner, labels.targets).isfinite().all())


def test_more_than_128_points_of_a_class_are_all_used() -> None:
    class_map = torch.ones(80, 100, dtype=torch.uint8)
    points = torch.stack(torch.meshgrid(torch.arange(2, 100, 4), torch.arange(2, 80, 4), indexing="ij"), -1)
    points = points.reshape(-1, 2).float()
    assert len(points) == 500
    owner = initial_labels(class_map, points, torch.zeros(500, dtype=torch.long)).owner
    assert torch.equal(owner.unique(), torch.arange(1, 501))
    x, y = points.long().unbind(1)
    assert torch.equal(owner[y, x], torch.arange(1, 501))


def test_true_masks_fix_their_pixels_and_their_objects_get_no_other() -> None:
    class_map = one_blob()
    mask_owner = torch.zeros(12, 16, dtype=torch.int32)
    mask_owner[2:10, 3:6] = 1
    points, classes = torch.tensor([[4.0, 5.0], [11.0, 5.0]]), torch.tensor([0, 0])
    owner = initial_labels(class_map, points, classes, mask_owner=mask_owner).owner
    assert torch.equal(owner == 1, mask_owner == 1)
    assert torch.equal(owner == 2, (class_map == 1) & (mask_owner == 0))


def test_an_object_with_a_mask_but_without_a_point_aims_at_the_centroid_of_its_mask() -> None:
    mask_owner = torch.zeros(12, 16, dtype=torch.int32)
    mask_owner[2:10, 3:6] = 1
    labels = initial_labels(one_blob(), torch.tensor([[float("nan")] * 2]), torch.tensor([0]), mask_owner=mask_owner)
    assert labels.targets.tolist() == [[4, 5]]
    assert bool(offset_targets(labels.owner, labels.targets).isfinite().all())


def test_an_unknown_target_is_rejected() -> None:
    with pytest.raises(ValueError, match="'middle'"):
        initial_labels(one_blob(), torch.zeros(1, 2), torch.tensor([0]), one_point_target="middle")
