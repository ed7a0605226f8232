"""Operations under symmetries, in half precision and on empty input, and two of them against loops in float64."""

import math

import pytest
import torch
from torch import Tensor

from depthbox.ops import (
    aligned_upsample,
    box_extents,
    box_masks,
    cells_inside,
    color_similarity,
    depth_on_grid,
    depth_similarity,
    neighbor_offsets,
    pack_edges,
    paired_iou,
    rgb_to_lab,
    sample_grid,
    similar_edges,
    unpack_edges,
)


def boxes(count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    low = torch.rand(count, 2, dtype=dtype) * 20
    return torch.cat((low, low + torch.rand(count, 2, dtype=dtype) * 20), 1)


def iou_in_loops(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


def test_paired_iou_matches_loops_and_is_symmetric() -> None:
    first, second = boxes(40), boxes(40)
    result = paired_iou(first, second)
    expected = [iou_in_loops(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    assert result.tolist() == pytest.approx(expected) and 0 < sum(value > 0 for value in expected) < 40
    torch.testing.assert_close(paired_iou(second, first), result)
    order = torch.randperm(40)
    assert torch.equal(paired_iou(first[order], second[order]), result[order])
    moved = torch.tensor([30.0, -7, 30, -7], dtype=torch.float64)
    torch.testing.assert_close(paired_iou(3 * first + moved, 3 * second + moved), result)
    torch.testing.assert_close(paired_iou(first, first), torch.ones(40, dtype=torch.float64))


def test_paired_iou_passes_gradcheck_and_accepts_no_boxes() -> None:
    first = torch.tensor([[0.0, 0, 4, 5], [2, 1, 9, 8]], dtype=torch.float64, requires_grad=True)
    second = torch.tensor([[1.0, 2, 6, 7], [0, 0, 5, 5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(paired_iou, (first, second))
    assert paired_iou(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)
    for wrong in ((torch.zeros(2, 4), torch.zeros(1, 4)), (torch.zeros(4), torch.zeros(4))):
        with pytest.raises(ValueError, match=r"one shape \(N, 4\)"):
            paired_iou(*wrong)


def sample_in_loops(values: Tensor, x: float, y: float) -> float:
    """Interpolate a map (H, W) at cell (y, x); outside the grid the border continues."""
    height, width = values.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = math.floor(x), math.floor(y)
    total = 0.0
    for i, weight_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for j, weight_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            if weight_x * weight_y > 0:
                total += weight_x * weight_y * float(values[i, j])
    return total


@pytest.mark.parametrize("stride", [1, 4, 8])
@pytest.mark.parametrize("target", [(20, 33), (45, 21)])
def test_sample_grid_matches_loops(stride: int, target: tuple[int, int]) -> None:
    """Pixel p of the target lies at (p + 0.5) * source / target - 0.5, and cell j at pixel s j + s // 2."""
    source = (24, 30)
    values = torch.rand(2, -(-24 // stride), -(-30 // stride), dtype=torch.float64)
    result = sample_grid(values, stride, source, target)
    rows, columns = -(-target[0] // stride), -(-target[1] // stride)
    assert result.shape == (2, rows, columns)
    for row in range(0, rows, 2):
        for column in range(0, columns, 3):
            x, y = (
                ((stride * cell + stride // 2 + 0.5) * source[side] / target[side] - 0.5 - stride // 2) / stride
                for side, cell in ((1, column), (0, row))
            )
            for n in range(2):
                assert float(result[n, row, column]) == pytest.approx(sample_in_loops(values[n], x, y), abs=1e-5)


def test_sample_grid_of_one_view_is_the_identity_and_accepts_no_maps() -> None:
    values = torch.rand(3, 6, 8)
    torch.testing.assert_close(sample_grid(values, 4, (24, 32), (24, 32)), values, atol=1e-5, rtol=0)
    assert sample_grid(torch.zeros(0, 6, 8), 4, (24, 32), (48, 64)).shape == (0, 12, 16)
    constant = sample_grid(torch.full((1, 1, 1), 0.25), 4, (4, 4), (9, 13))
    torch.testing.assert_close(constant, torch.full((1, 3, 4), 0.25))


def test_sample_grid_passes_gradcheck_and_flips_with_odd_strides() -> None:
    values = torch.rand(1, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sample_grid(x, 3, (9, 12), (15, 10)), values)
    flipped = sample_grid(values.flip(2), 3, (9, 12), (9, 24))
    torch.testing.assert_close(flipped, sample_grid(values, 3, (9, 12), (9, 24)).flip(2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dims", [(1,), (2,), (1, 2)])
@pytest.mark.parametrize(("size", "dilation"), [(3, 2), (5, 1)])
def test_packed_edges_flip_with_the_image(dims: tuple[int, ...], size: int, dilation: int) -> None:
    values, valid = torch.rand(2, 3, 9, 11), torch.rand(2, 9, 11) > 0.2
    count, offsets = size * size - 1, neighbor_offsets(size, dilation)
    plain = unpack_edges(similar_edges(values, valid, 0.6, size, dilation), count)
    flipped_values = values.flip([dim + 1 for dim in dims])
    flipped = unpack_edges(similar_edges(flipped_values, valid.flip(dims), 0.6, size, dilation), count)
    signs = (-1 if 1 in dims else 1, -1 if 2 in dims else 1)
    order = [offsets.index((signs[0] * dy, signs[1] * dx)) for dy, dx in offsets]
    assert torch.equal(flipped.flip([dim + 1 for dim in dims]), plain[:, order]) and plain.any()


def test_similar_edges_are_symmetric_between_valid_pixels_and_grow_with_the_limit() -> None:
    values, valid = torch.rand(1, 1, 8, 9), torch.ones(1, 8, 9, dtype=torch.bool)
    previous = torch.zeros(1, 8, 8, 9, dtype=torch.bool)
    for limit in (0.0, 0.1, 0.4, math.inf):
        edges = unpack_edges(similar_edges(values, valid, limit))
        assert bool((edges | ~previous).all())  # no edge is lost
        for k, (dy, dx) in enumerate(neighbor_offsets()):
            for _, y, x in torch.nonzero(edges[:, k]).tolist():
                assert edges[0, 7 - k, y + dy, x + dx]
        previous = edges
    assert torch.equal(unpack_edges(similar_edges(values, valid, 0.0, inclusive=False)), torch.zeros_like(previous))


def test_no_image_has_no_edges() -> None:
    nothing = torch.zeros(0, 4, 5, dtype=torch.bool)
    assert similar_edges(torch.zeros(0, 3, 4, 5), nothing, 1.0).shape == (0, 4, 5)
    assert pack_edges(torch.zeros(0, 8, 4, 5, dtype=torch.bool)).shape == (0, 4, 5)
    assert depth_similarity(torch.zeros(0, 1, 4, 5), nothing).shape == (0, 8, 4, 5)
    assert depth_on_grid(torch.rand(1, 8, 8), (8, 8), 4).shape == (1, 2, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_similarities_in_half_precision_are_close(dtype: torch.dtype) -> None:
    depth, valid = torch.rand(1, 1, 6, 7), torch.ones(1, 6, 7)
    low = depth_similarity(depth.to(dtype), valid, scale=2.0)
    assert low.dtype == dtype
    torch.testing.assert_close(low.float(), depth_similarity(depth, valid, scale=2.0), atol=0.03, rtol=0)
    grid = depth_on_grid(depth[0].to(dtype), (8, 8), 2)
    assert grid.dtype == torch.float32
    torch.testing.assert_close(grid, depth_on_grid(depth[0], (8, 8), 2), atol=0.01, rtol=0)


def test_similarities_pass_gradcheck() -> None:
    lab = torch.rand(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    valid = torch.rand(1, 4, 5) > 0.2
    assert torch.autograd.gradcheck(lambda x: color_similarity(x, valid, 3, 1), lab)
    assert torch.autograd.gradcheck(lambda x: depth_similarity(x[:, :1], valid, 3, 1, 2.0), lab)
    assert torch.autograd.gradcheck(
        rgb_to_lab, (0.2 + 0.6 * torch.rand(1, 3, 2, 2, dtype=torch.float64)).requires_grad_()
    )


def test_gray_has_no_color_and_lightness_grows_with_brightness() -> None:
    gray = torch.linspace(0, 1, 11).expand(1, 3, 1, 11)
    lab = rgb_to_lab(gray)
    assert lab[:, 1:].abs().max() < 0.02 and (lab[0, 0, 0].diff() > 0).all()
    assert lab[0, 0, 0, 0] == pytest.approx(0, abs=1e-3) and lab[0, 0, 0, -1] == pytest.approx(100, abs=1e-2)


def test_boxes_in_any_order_and_partly_outside() -> None:
    found = torch.tensor([[-9.0, -5, 6, 7], [10, 8, 99, 99], [-20, -20, -10, -10], [3, 3, 3, 3], [0, 0, 15, 11]])
    masks = box_masks(found, 3, 4, 4)
    for mask, (x0, y0, x1, y1) in zip(masks, found.tolist(), strict=True):
        for row in range(3):
            for column in range(4):
                x, y = 4 * column + 2, 4 * row + 2
                assert bool(mask[row, column]) == (x0 <= x <= x1 and y0 <= y <= y1)
    order = torch.tensor([3, 0, 4, 1, 2])
    rows, columns = box_extents(found[order], 3, 4, 4)
    assert torch.equal(rows[:, :, None] & columns[:, None], masks[order])
    assert torch.equal(cells_inside((3, 4), 12, 16, 4), torch.ones(3, 4, dtype=torch.bool))
    assert not cells_inside((3, 4), 2, 16, 4).any()  # the first cell samples row 2


@pytest.mark.parametrize("factor", [2, 4, 5])
def test_upsampling_keeps_constants_sums_of_maps_and_order(factor: int) -> None:
    first, second = torch.rand(2, 1, 4, 5, dtype=torch.float64), torch.rand(2, 1, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(
        aligned_upsample(torch.ones_like(first), factor), torch.ones(2, 1, 4 * factor, 5 * factor).double()
    )
    total = aligned_upsample(first, factor) + 2 * aligned_upsample(second, factor)
    torch.testing.assert_close(aligned_upsample(first + 2 * second, factor), total)
    assert torch.equal(aligned_upsample(first.flip(0), factor), aligned_upsample(first, factor).flip(0))
    result = aligned_upsample(first, factor)
    assert first.min() <= result.min() and result.max() <= first.max()
