"""Segments of cells: pooling of an owner map, conversion from and to masks, memory with many instances."""

import pytest
import torch

from depthbox.ops.affinity import CellSegments, segments_at_stride, segments_from_masks


def pool_by_loop(owner: torch.Tensor, count: int, stride: int) -> torch.Tensor:
    height, width = owner.shape
    rows, columns = -(-height // stride), -(-width // stride)
    masks = torch.zeros((count, rows, columns), dtype=torch.bool)
    for y in range(height):
        for x in range(width):
            if owner[y, x] > 0:
                masks[owner[y, x] - 1, y // stride, x // stride] = True
    return masks.flatten(1)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (13, 18), (1, 1), (3, 9)])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_cell_belongs_to_each_instance_that_owns_one_of_its_pixels(height: int, width: int, stride: int) -> None:
    owner = torch.randint(0, 6, (height, width)) * (torch.rand(height, width) > 0.4)
    segments = segments_at_stride(owner, stride)
    expected = pool_by_loop(owner, 5, stride)
    assert torch.equal(segments.masks(5), expected)
    assert torch.equal(segments.owned, expected.any(0))
    assert torch.equal(segments.shared, expected.sum(0) > 1)


def test_members_are_distinct_ascending_and_padded_with_zeros() -> None:
    owner = torch.tensor([[7, 7, 0, 0], [3, 500, 0, 0]], dtype=torch.int32)
    segments = segments_at_stride(owner, stride=2)
    assert segments.members.tolist() == [[3, 7, 500], [0, 0, 0]]
    assert segments.any_owned() and len(segments) == 2


def test_masks_are_converted_exactly_also_where_they_overlap() -> None:
    masks = torch.rand(9, 3, 7) > 0.6
    assert torch.equal(segments_from_masks(masks).masks(9), masks.flatten(1))


@pytest.mark.parametrize("masks", [torch.zeros(0, 6, dtype=torch.bool), torch.zeros(3, 6, dtype=torch.bool)])
def test_no_instance_and_empty_instances_own_no_cell(masks: torch.Tensor) -> None:
    segments = segments_from_masks(masks)
    assert segments.members.tolist() == [[0]] * 6
    assert not segments.any_owned()
    assert not segments_at_stride(torch.zeros(8, 12, dtype=torch.long)).any_owned()


def test_500_instances_need_at_most_one_column_per_pixel_of_a_cell() -> None:
    owner = torch.randint(0, 501, (64, 64))
    segments = segments_at_stride(owner)
    assert segments.members.shape[0] == 256
    assert 1 < segments.members.shape[1] <= 16
    assert torch.equal(segments.masks(500), pool_by_loop(owner, 500, 4))


def test_an_owner_map_with_a_batch_axis_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"shape \(H, W\), got \(1, 4, 4\)"):
        segments_at_stride(torch.zeros(1, 4, 4, dtype=torch.long))


def test_a_cell_without_a_second_segment_is_not_shared() -> None:
    assert CellSegments(torch.tensor([[1], [0]])).shared.tolist() == [False, False]
