"""Neighbors, similarities and packed edges against loops over pixels."""

import math

import pytest
import torch
from torch import Tensor

from depthbox.ops import (
    color_similarity,
    depth_similarity,
    neighbor_offsets,
    pack_edges,
    shift,
    similar_edges,
    unpack_edges,
)
from depthbox.ops.edges import pair_slices

KERNELS = [(3, 1), (3, 2), (5, 1), (5, 2)]


def reference_similarity(lab: Tensor, valid: Tensor, size: int, dilation: int) -> Tensor:
    """Loop over images, pixels and neighbors; a neighbor outside the map or not valid has similarity 0."""
    images, _, height, width = lab.shape
    steps = [dilation * (i - size // 2) for i in range(size)]
    offsets = [(dy, dx) for dy in steps for dx in steps if dy or dx]
    result = torch.zeros(images, len(offsets), height, width, dtype=torch.float64)
    for b in range(images):
        for k, (dy, dx) in enumerate(offsets):
            for y in range(height):
                for x in range(width):
                    v, u = y + dy, x + dx
                    if 0 <= v < height and 0 <= u < width and valid[b, v, u]:
                        distance = math.dist(lab[b, :, y, x].tolist(), lab[b, :, v, u].tolist())
                        result[b, k, y, x] = math.exp(-distance / 2)
    return result


def test_offsets_are_row_major_without_the_center() -> None:
    assert neighbor_offsets(3, 2) == [
        (-2, -2), (-2, 0), (-2, 2),
        (0, -2), (0, 2),
        (2, -2), (2, 0), (2, 2),
    ]  # fmt: skip
    for size, dilation in KERNELS:
        offsets = neighbor_offsets(size, dilation)
        assert len(offsets) == size * size - 1
        # The fused losses find the opposite neighbor by counting from the end.
        assert offsets == [(-dy, -dx) for dy, dx in reversed(offsets)]


@pytest.mark.parametrize(("size", "dilation"), [(1, 1), (2, 1), (4, 2), (3, 0)])
def test_kernels_without_a_center_are_rejected(size: int, dilation: int) -> None:
    with pytest.raises(ValueError, match="odd"):
        neighbor_offsets(size, dilation)


def test_shift_reads_the_neighbor() -> None:
    x = torch.arange(1, 13.0).view(3, 4)
    for dy in range(-4, 5):
        for dx in range(-5, 6):
            expected = [
                [float(x[v + dy, u + dx]) if 0 <= v + dy < 3 and 0 <= u + dx < 4 else 0.0 for u in range(4)]
                for v in range(3)
            ]
            assert shift(x, dy, dx).tolist() == expected


@pytest.mark.parametrize(("size", "dilation"), KERNELS)
@pytest.mark.parametrize(("height", "width"), [(6, 7), (1, 5), (2, 2), (1, 1)])  # most are smaller than the dilation
def test_color_similarity_matches_loops(size: int, dilation: int, height: int, width: int) -> None:
    lab = torch.randn(2, 3, height, width, dtype=torch.float64)
    valid = torch.rand(2, height, width) > 0.3
    expected = reference_similarity(lab, valid, size, dilation)
    torch.testing.assert_close(color_similarity(lab, valid, size, dilation), expected)
    torch.testing.assert_close(color_similarity(lab, valid.double(), size, dilation), expected)


def test_color_similarity_of_equal_and_of_opposite_colors() -> None:
    lab = torch.tensor([0.0, 0.0, 100.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    left, right = color_similarity(lab, torch.ones(1, 1, 3), 3, 1)[0, 3:5, 0]
    assert left[0] == 0 and right[0] == 1 and left[1] == 1
    assert right[1] < 1e-30 and right[2] == 0


def test_color_similarity_flips_with_the_image() -> None:
    lab, valid = torch.randn(1, 3, 5, 6), torch.rand(1, 5, 6) > 0.2
    upright = color_similarity(lab, valid, 3, 2)
    flipped = color_similarity(lab.flip(3), valid.flip(2), 3, 2).flip(3)
    offsets = neighbor_offsets(3, 2)
    mirrored = [offsets.index((dy, -dx)) for dy, dx in offsets]
    torch.testing.assert_close(flipped[:, mirrored], upright, rtol=0, atol=0)


def test_color_similarity_is_symmetric_where_both_ends_are_valid() -> None:
    similarity = color_similarity(torch.randn(1, 3, 6, 6), torch.ones(1, 6, 6), 3, 2)
    for k, (dy, dx) in enumerate(neighbor_offsets(3, 2)):
        torch.testing.assert_close(shift(similarity[:, 7 - k], dy, dx), similarity[:, k], rtol=0, atol=0)


def test_color_similarity_accepts_an_empty_batch_and_half_precision() -> None:
    assert color_similarity(torch.zeros(0, 3, 4, 5), torch.ones(0, 4, 5)).shape == (0, 8, 4, 5)
    lab, valid = torch.randn(1, 3, 5, 5), torch.ones(1, 5, 5)
    half = color_similarity(lab.bfloat16(), valid.bool())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), color_similarity(lab, valid), rtol=0, atol=0.02)


def test_valid_of_another_shape_is_rejected() -> None:
    with pytest.raises(ValueError, match="valid must be"):
        color_similarity(torch.zeros(1, 3, 4, 5), torch.ones(1, 5, 4))


@pytest.mark.parametrize(("count", "dtype"), [(8, torch.uint8), (24, torch.int32)])
def test_unpacking_inverts_packing(count: int, dtype: torch.dtype) -> None:
    similar = torch.rand(2, count, 3, 4) > 0.5
    similar[0, :, 0, 0] = True
    packed = pack_edges(similar)
    assert packed.dtype == dtype and packed.shape == (2, 3, 4)
    assert packed[1, 2, 3] == sum(1 << k for k in range(count) if similar[1, k, 2, 3])
    assert torch.equal(unpack_edges(packed, count), similar)


def test_more_than_24_neighbors_are_rejected() -> None:
    with pytest.raises(ValueError, match="at most 24 neighbors can be packed, got 48"):
        pack_edges(torch.ones(1, 48, 2, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="at most 24 neighbors can be packed, got 48"):
        similar_edges(torch.zeros(1, 3, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool), 1.0, size=7)


@pytest.mark.parametrize(("size", "dilation"), KERNELS)
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_depth_similarity_matches_loops(size: int, dilation: int, scale: float) -> None:
    depth = torch.rand(2, 1, 5, 6, dtype=torch.float64)
    valid = torch.rand(2, 5, 6) > 0.3
    expected = torch.zeros(2, size * size - 1, 5, 6, dtype=torch.float64)
    for b in range(2):
        for k, (dy, dx) in enumerate(neighbor_offsets(size, dilation)):
            for y in range(5):
                for x in range(6):
                    v, u = y + dy, x + dx
                    if 0 <= v < 5 and 0 <= u < 6 and valid[b, v, u]:
                        expected[b, k, y, x] = math.exp(-scale * abs(float(depth[b, 0, y, x] - depth[b, 0, v, u])))
    torch.testing.assert_close(depth_similarity(depth, valid, size, dilation, scale), expected)


def test_depth_similarity_of_constant_depth_is_one_inside() -> None:
    similarity = depth_similarity(torch.full((1, 1, 4, 4), 0.7), torch.ones(1, 4, 4), 3, 1, 100.0)
    assert similarity[0, :, 1, 1].tolist() == [1.0] * 8
    assert similarity[0, 0, 0, 0] == 0  # outside


def test_depth_similarity_requires_a_positive_scale() -> None:
    with pytest.raises(ValueError, match="must be positive, got 0"):
        depth_similarity(torch.zeros(1, 1, 4, 4), torch.ones(1, 4, 4), scale=0)


@pytest.mark.parametrize(("size", "dilation"), [(3, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize(("height", "width"), [(7, 9), (1, 6), (5, 2), (1, 1)])
def test_similar_edges_are_the_thresholded_similarities(size: int, dilation: int, height: int, width: int) -> None:
    lab = torch.randn(2, 3, height, width, dtype=torch.float64)
    depth = torch.rand(2, 1, height, width, dtype=torch.float64)
    valid = torch.rand(2, height, width) > 0.2
    colors = pack_edges(color_similarity(lab, valid, size, dilation) >= 0.3)
    depths = pack_edges(depth_similarity(depth, valid, size, dilation, 3.0) > 0.5)
    assert torch.equal(similar_edges(lab, valid, -2 * math.log(0.3), size, dilation), colors)
    assert torch.equal(similar_edges(depth, valid, math.log(2) / 3, size, dilation, inclusive=False), depths)


def test_similar_edges_at_the_limit() -> None:
    values, valid = torch.tensor([[[[0.0, 1.0, 1.0]]]]), torch.ones(1, 1, 3, dtype=torch.bool)
    right, left = 1 << 4, 1 << 3
    found = {
        (limit, inclusive): similar_edges(values, valid, limit, 3, 1, inclusive=inclusive)[0, 0].tolist()
        for limit, inclusive in [(1.0, True), (1.0, False), (0.0, True), (math.inf, False)]
    }
    assert found[1.0, True] == found[math.inf, False] == [right, left | right, left]
    assert found[1.0, False] == found[0.0, True] == [0, right, left]


def test_a_negative_limit_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"largest distance must be >= 0, got -0\.5"):
        similar_edges(torch.zeros(1, 3, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool), -0.5)


@pytest.mark.parametrize(("dy", "dx"), [(0, 1), (2, -2), (2, 0), (1, 3), (4, 1), (5, 5), (0, -7)])
def test_pair_slices_select_pixels_and_their_neighbors(dy: int, dx: int) -> None:
    pixels = torch.arange(12).view(3, 4)
    here, there = pair_slices(3, 4, dy, dx)
    expected = [
        (4 * y + x, 4 * (y + dy) + x + dx) for y in range(3) for x in range(4) if 0 <= y + dy < 3 and 0 <= x + dx < 4
    ]
    pairs = zip(pixels[here].flatten().tolist(), pixels[there].flatten().tolist(), strict=True)
    assert list(pairs) == expected
