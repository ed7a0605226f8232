"""Triton kernels of ``box_losses``: forward per tile, reduction per mask, backward per tile.

The results are reproducible bit for bit: no kernel uses atomics. Each tile writes a partial result, and partial results
are added in a fixed order. T is the number of row blocks of a map.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .math import sigmoid, sigmoid_slope
from .pairs import tile_slopes, tile_sums


@triton.jit
def forward_kernel(  # type: ignore[no-untyped-def]
    logits, edges0, edges1, image_index, rows, columns, maxima, places, column_maxima, column_places, pairs,
    map_stride, height, width, DILATION: tl.constexpr, SETS: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr
):  # fmt: skip
    """Compute the maxima of each row and column, and the sums over pairs, for BLOCK_H rows of one mask.

    Writes maxima (N, H) and the first H columns of places (N, H + W), column_maxima and column_places (N, T, W), and
    pairs (N, T, 4), see ``_store_sums``.
    """
    block, n, blocks = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.num_programs(0)
    y = block * BLOCK_H + tl.arange(0, BLOCK_H)
    lanes = tl.arange(0, BLOCK_W)
    values, rows, columns = logits + n * map_stride, rows + n * height, columns + n * width
    image = tl.load(image_index + n) * height * width
    near_rows = _any_inside(rows, y, height) | _any_inside(rows, y + DILATION, height)
    best = tl.full((BLOCK_H, BLOCK_W), float("-inf"), tl.float32)
    where = tl.zeros((BLOCK_H, BLOCK_W), tl.int32) + lanes[None, :]
    sum0, sum1, count0, count1 = 0.0, 0.0, 0.0, 0.0
    for left in range(0, width, BLOCK_W):
        x = left + lanes
        inside = (y < height)[:, None] & (x < width)[None, :]
        a = tl.load(values + y[:, None] * width + x[None, :], mask=inside, other=float("-inf"))
        greater = a > best  # of equal values the first stays, as in torch.max
        best = tl.where(greater, a, best)
        where = tl.where(greater, x[None, :], where)
        _store_column_maxima(column_maxima, column_places, (n * blocks + block) * width + x, a, y, x, height, width)
        near = near_rows & (_near_columns(columns, x, width, DILATION))
        if near > 0:
            s0, s1, c0, c1 = tile_sums(
                values, edges0 + image, edges1 + image, rows, columns, y, x, height, width, DILATION, SETS
            )
            sum0 += s0
            sum1 += s1
            count0 += c0
            count1 += c1
    _store_row_maxima(maxima + n * height + y, places + n * (height + width) + y, best, where, y, height, width)
    _store_sums(pairs + (n * blocks + block) * 4, sum0, sum1, count0, count1)


@triton.jit
def reduce_kernel(  # type: ignore[no-untyped-def]
    rows, columns, maxima, column_maxima, column_places, pairs, slopes, places, out, height, width, blocks, count, eps,
    SETS: tl.constexpr, BLOCKS: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr
):  # fmt: skip
    """Reduce the partial results of one mask to its losses, and differentiate the projection loss by each maximum.

    Writes out (1 + 2 SETS, N): projection, sums, counts; slopes (N, H + W); and the last W columns of places
    (N, H + W).
    """
    n = tl.program_id(0).to(tl.int64)
    y, x = tl.arange(0, BLOCK_H), tl.arange(0, BLOCK_W)
    top, place = _column_maxima(column_maxima, column_places, n, blocks, x, width, BLOCKS)
    highest = tl.load(maxima + n * height + y, mask=y < height, other=0.0)
    row = tl.load(rows + n * height + y, mask=y < height, other=0).to(tl.float32)
    column = tl.load(columns + n * width + x, mask=x < width, other=0).to(tl.float32)
    across, row_slopes = _profile_dice(highest, row, y < height, eps)
    down, column_slopes = _profile_dice(top, column, x < width, eps)
    tl.store(slopes + n * (height + width) + y, row_slopes, mask=y < height)
    tl.store(slopes + n * (height + width) + height + x, column_slopes, mask=x < width)
    tl.store(places + n * (height + width) + height + x, place, mask=x < width)
    tl.store(out + n, across + down)
    _store_totals(out, pairs, n, blocks, count, SETS, BLOCKS)


@triton.jit
def backward_kernel(  # type: ignore[no-untyped-def]
    logits, edges0, edges1, image_index, rows, columns, slopes, places, grad_projection, grad_sums, out,
    map_stride, projection_stride, set_stride, sum_stride, height, width,
    DILATION: tl.constexpr, SETS: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr
):  # fmt: skip
    """Compute one tile of the gradient (N, H, W); the logits are read only near the box."""
    n = tl.program_id(2).to(tl.int64)
    y = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    x = tl.program_id(0) * BLOCK_W + tl.arange(0, BLOCK_W)
    values, rows, columns = logits + n * map_stride, rows + n * height, columns + n * width
    total = _slopes_at_maxima(slopes, places, n, y, x, height, width)
    total *= tl.load(grad_projection + n * projection_stride)
    near = _any_inside(rows, y - DILATION, height) | _any_inside(rows, y, height)
    near = (near | _any_inside(rows, y + DILATION, height)) & _near_columns(columns, x, width, DILATION)
    if near > 0:
        image = tl.load(image_index + n) * height * width
        grad0 = tl.load(grad_sums + n * sum_stride)
        grad1 = tl.load(grad_sums + n * sum_stride + (SETS - 1) * set_stride)
        total += tile_slopes(
            values, edges0 + image, edges1 + image, rows, columns, grad0, grad1, y, x, height, width, DILATION, SETS
        )
    inside = (y < height)[:, None] & (x < width)[None, :]
    tl.store(out + n * height * width + y[:, None] * width + x[None, :], total, mask=inside)


@triton.jit
def _store_column_maxima(column_maxima, column_places, part, a, y, x, height, width):  # type: ignore[no-untyped-def]
    """Store the maximum of each column of the tile, and the first row that has it."""
    top = tl.max(a, axis=0)
    place = tl.min(tl.where(a == top[None, :], y[:, None], height), axis=0)
    tl.store(column_maxima + part, top, mask=x < width)
    tl.store(column_places + part, place, mask=x < width)


@triton.jit
def _store_row_maxima(maxima, places, best, where, y, height, width):  # type: ignore[no-untyped-def]
    """Store the maximum of each row over the lanes of the tile, and the first column that has it."""
    highest = tl.max(best, axis=1)
    place = tl.min(tl.where(best == highest[:, None], where, width), axis=1)
    tl.store(maxima, highest, mask=y < height)
    tl.store(places, place, mask=y < height)


@triton.jit
def _store_sums(part, sum0, sum1, count0, count1):  # type: ignore[no-untyped-def]
    """Store the sums and the numbers of pairs of two edge sets."""
    tl.store(part, sum0)
    tl.store(part + 1, sum1)
    tl.store(part + 2, count0)
    tl.store(part + 3, count1)


@triton.jit
def _column_maxima(column_maxima, column_places, n, blocks, x, width, BLOCKS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Reduce the column maxima of all row blocks: the maximum of each column, and the first row that has it."""
    t = tl.arange(0, BLOCKS)
    parts = column_maxima + (n * blocks + t)[:, None] * width + x[None, :]
    tops = tl.load(parts, mask=(t < blocks)[:, None] & (x < width)[None, :], other=float("-inf"))
    top = tl.max(tops, axis=0)
    first = tl.minimum(tl.min(tl.where(tops == top[None, :], t[:, None], BLOCKS), axis=0), blocks - 1)
    return top, tl.load(column_places + (n * blocks + first) * width + x, mask=x < width, other=0)


@triton.jit
def _store_totals(out, pairs, n, blocks, count, SETS: tl.constexpr, BLOCKS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Add the sums and the numbers of pairs of all row blocks."""
    t = tl.arange(0, BLOCKS)
    for e in tl.static_range(SETS):
        at = (n * blocks + t) * 4 + e
        total = tl.sum(tl.load(pairs + at, mask=t < blocks, other=0.0), axis=0)
        number = tl.sum(tl.load(pairs + at + 2, mask=t < blocks, other=0.0), axis=0)
        tl.store(out + (1 + e) * count + n, total)
        tl.store(out + (1 + SETS + e) * count + n, number)


@triton.jit
def _slopes_at_maxima(slopes, places, n, y, x, height, width):  # type: ignore[no-untyped-def]
    """Scatter the derivatives of the projection loss to the maxima of each row and column, in one tile."""
    by_row, by_column = n * (height + width) + y, n * (height + width) + height + x
    row_place = tl.load(places + by_row, mask=y < height, other=-1)
    row_slope = tl.load(slopes + by_row, mask=y < height, other=0.0)
    column_place = tl.load(places + by_column, mask=x < width, other=-1)
    column_slope = tl.load(slopes + by_column, mask=x < width, other=0.0)
    total = tl.where(x[None, :] == row_place[:, None], row_slope[:, None], 0.0)
    total += tl.where(y[:, None] == column_place[None, :], column_slope[None, :], 0.0)
    return total


@triton.jit
def _profile_dice(logits, box, inside, eps):  # type: ignore[no-untyped-def]
    """Compute the dice loss of sigmoid(logits) and the box along one axis, and its derivative by the logits."""
    scores = tl.where(inside, sigmoid(logits), 0.0)
    overlap = tl.sum(scores * box, axis=0)
    norm = tl.sum(scores * scores, axis=0) + tl.sum(box * box, axis=0) + eps
    slopes = (4.0 * overlap / (norm * norm) * scores - 2.0 / norm * box) * sigmoid_slope(logits)
    return 1.0 - 2.0 * overlap / norm, slopes


@triton.jit
def _any_inside(extent, at, size):  # type: ignore[no-untyped-def]
    """Return 1 if any of these rows or columns is in the box, else 0."""
    return tl.max(tl.load(extent + at, mask=(at >= 0) & (at < size), other=0).to(tl.int32), axis=0)


@triton.jit
def _near_columns(columns, x, width, DILATION: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return 1 if any of these columns or of their neighbors is in the box, else 0."""
    near = _any_inside(columns, x - DILATION, width) | _any_inside(columns, x, width)
    return near | _any_inside(columns, x + DILATION, width)
