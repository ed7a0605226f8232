"""Boxes and maps on the mask grid: boxes against a full-size canvas, maps against loops over cells."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from depthbox.ops import box_extents, box_masks, cells_inside, depth_on_grid, integer_box_centers, paired_iou

# Corners on and off integer pixels, thinner than a cell, one pixel, across the image border.
BOXES = torch.tensor(
    [
        [0.0, 0.0, 32.0, 24.0],
        [3.2, 4.9, 17.9, 11.0],
        [9.0, 9.0, 10.0, 10.0],
        [6.0, 2.0, 6.4, 20.0],
        [14.5, 3.5, 31.99, 23.01],
        [20.0, 12.0, 40.0, 30.0],
    ]
)


def draw_box(box: Tensor, height: int, width: int) -> Tensor:
    """Fill the pixels int(low) .. int(high + 1) - 1 of a canvas."""
    canvas = torch.zeros(height, width, dtype=torch.bool)
    x0, y0, x1, y1 = box.tolist()
    canvas[int(y0) : int(y1 + 1), int(x0) : int(x1 + 1)] = True
    return canvas


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_masks_are_samples_of_the_full_size_box(stride: int) -> None:
    expected = torch.stack([draw_box(box, 24, 32) for box in BOXES])[:, stride // 2 :: stride, stride // 2 :: stride]
    assert torch.equal(box_masks(BOXES, 24 // stride, 32 // stride, stride), expected)


@pytest.mark.parametrize("stride", [1, 4])
def test_extents_are_those_of_the_box_stretched_along_the_other_axis(stride: int) -> None:
    rows, columns = box_extents(BOXES, 24 // stride, 32 // stride, stride)
    for n, (x0, y0, x1, y1) in enumerate(BOXES.tolist()):
        tall, wide = torch.tensor([x0, 0.0, x1, 23.0]), torch.tensor([0.0, y0, 31.0, y1])
        assert torch.equal(rows[n], draw_box(wide, 24, 32)[stride // 2 :: stride, 0])
        assert torch.equal(columns[n], draw_box(tall, 24, 32)[0, stride // 2 :: stride])


def test_flipped_boxes_give_flipped_masks() -> None:
    # With integer corners and both ends inclusive, the mirror image of x is (width - 1) - x.
    boxes = torch.tensor([[3.0, 4.0, 17.0, 11.0], [0.0, 0.0, 31.0, 23.0]])
    mirrored = torch.stack((31 - boxes[:, 2], boxes[:, 1], 31 - boxes[:, 0], boxes[:, 3]), 1)
    assert torch.equal(box_masks(mirrored, 24, 32, 1), box_masks(boxes, 24, 32, 1).flip(2))


def test_no_boxes_give_empty_results() -> None:
    empty = torch.zeros(0, 4)
    rows, columns = box_extents(empty, 3, 5, 4)
    assert rows.shape == (0, 3) and columns.shape == (0, 5)
    assert box_masks(empty, 3, 5, 4).shape == (0, 3, 5)
    assert integer_box_centers(empty, 12, 20).shape == (0, 2)


def test_centers_are_centers_of_mass_of_the_full_size_box() -> None:
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing="ij")
    expected = []
    for box in BOXES:
        canvas = draw_box(box, 24, 32)
        expected.append([float(x[canvas].mean()), float(y[canvas].mean())])
    torch.testing.assert_close(integer_box_centers(BOXES, 24, 32), torch.tensor(expected))


def test_paired_iou_is_the_diagonal_of_the_iou_matrix() -> None:
    first, second = (torch.rand(2, 30, 4, dtype=torch.float64) * 10).unbind()
    for boxes in (first, second):
        boxes[:, 2:] += boxes[:, :2]
    expected = box_iou(first, second).diagonal()
    assert 0 < (expected > 0).sum() < 30
    torch.testing.assert_close(paired_iou(first, second), expected)
    torch.testing.assert_close(paired_iou(first, first), torch.ones(30, dtype=torch.float64))


def test_paired_iou_of_boxes_without_area_is_zero() -> None:
    points = torch.tensor([[3.0, 3.0, 3.0, 3.0]])
    assert paired_iou(points, points).tolist() == [0.0]
    assert paired_iou(points[:0], points[:0]).shape == (0,)


def test_paired_iou_rejects_different_numbers_of_boxes() -> None:
    with pytest.raises(ValueError, match=r"one shape \(N, 4\), got \(2, 4\) and \(1, 4\)"):
        paired_iou(torch.zeros(2, 4), torch.zeros(1, 4))


@pytest.mark.parametrize(("height", "width"), [(16, 20), (13, 18), (2, 3), (0, 9)])
def test_a_cell_is_inside_if_its_pixel_is(height: int, width: int) -> None:
    inside = cells_inside((4, 5), height, width, 4)
    for row in range(4):
        for column in range(5):
            assert bool(inside[row, column]) == (4 * row + 2 < height and 4 * column + 2 < width)


def test_depth_on_grid_is_the_mean_with_a_replicated_border() -> None:
    depth = torch.rand(1, 6, 7)
    grid = depth_on_grid(depth, (8, 12), 4)
    assert grid.shape == (1, 2, 3)
    for row in range(2):
        for column in range(3):
            pixels = [
                float(depth[0, min(y, 5), min(x, 6)])
                for y in range(4 * row, 4 * row + 4)
                for x in range(4 * column, 4 * column + 4)
            ]
            assert float(grid[0, row, column]) == pytest.approx(sum(pixels) / 16, abs=1e-6)
