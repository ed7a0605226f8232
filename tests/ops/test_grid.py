"""Maps on the mask grid, against loops over cells."""

import pytest
import torch

from depthbox.ops import cells_inside, depth_on_grid


@pytest.mark.parametrize(("height", "width"), [(16, 20), (13, 18), (2, 3), (0, 9)])
def test_cells_inside_are_those_whose_pixel_is(height: int, width: int) -> None:
    inside = cells_inside((4, 5), height, width, 4)
    for row in range(4):
        for column in range(5):
            assert bool(inside[row, column]) == (4 * row + 2 < height and 4 * column + 2 < width)


def test_depth_on_grid_is_the_mean_and_its_border_goes_on() -> None:
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
