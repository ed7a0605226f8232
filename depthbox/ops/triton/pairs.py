"""Pairwise loss of one tile of pixels, as part of larger Triton kernels. ``losses/pairwise.py`` derives the formulas.

With u = exp(-|a|), v = exp(-|b|), w = exp(-|a + b|) and c = 1[ab < 0] min(|a|, |b|),

    -log P = c + log((1 + u)(1 + v) / (1 + w)),    s(a) - s(a + b) = +-(w - u) or +-(1 - u w), over (1 + u)(1 + w).

Neither cancels if the result is small. The ratio lies in [1/2, 2], so a short series gives its logarithm.

The kernel of neighbors is 3x3 with ``DILATION``. ``SETS`` is the number of edge sets, 1 or 2; with 1, ``edges1`` is not
read, and the second sum and number of pairs are 0.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def pair_nll(a, u, b):  # type: ignore[no-untyped-def]
    """Compute -log P(same label) of the logits a and b, with u = exp(-|a|)."""
    v = tl.exp(-tl.abs(b))
    w = tl.exp(-tl.abs(a + b))
    grown = u + v + u * v
    s = (grown - w) / (2.0 + grown + w)  # log(p / q) = 2 atanh((p - q) / (p + q)), |s| <= 1/3
    z = s * s
    series = 1.0 / 9 + z * (1.0 / 11 + z * (1.0 / 13))
    series = 1.0 + z * (1.0 / 3 + z * (1.0 / 5 + z * (1.0 / 7 + z * series)))
    opposite = (a < 0) != (b < 0)
    return tl.where(opposite, tl.minimum(tl.abs(a), tl.abs(b)), 0.0) + 2.0 * s * series


@triton.jit
def pair_slope(a, u, b):  # type: ignore[no-untyped-def]
    """Compute the derivative of ``pair_nll`` with respect to a."""
    w = tl.exp(-tl.abs(a + b))
    value = tl.where((a < 0) == (a + b < 0), w - u, 1.0 - u * w) / ((1.0 + u) * (1.0 + w))
    return tl.where(a < 0, -value, value)


@triton.jit
def tile_sums(  # type: ignore[no-untyped-def]
    values, edges0, edges1, rows, columns, y, x, height, width, DILATION: tl.constexpr, SETS: tl.constexpr
):
    """Compute sum and number, for two edge sets, of the pairs whose first pixel is in the tile.

    The first pixel of a pair precedes the second in row-major order. An edge counts if it starts in the box.
    """
    inside = (y < height)[:, None] & (x < width)[None, :]
    at = y[:, None] * width + x[None, :]
    a = tl.load(values + at, mask=inside, other=0.0)
    u = tl.exp(-tl.abs(a))
    bits0, bits1 = _outgoing(edges0, edges1, rows, columns, y, x, at, inside, height, width, SETS)
    sum0, sum1, count0, count1 = tl.zeros_like(a), tl.zeros_like(a), tl.zeros_like(a), tl.zeros_like(a)
    for cell in range(5, 9):  # not unrolled, which would take too many registers
        down, right = (cell // 3 - 1) * DILATION, (cell % 3 - 1) * DILATION
        there = inside & (y + down < height)[:, None] & ((x + right >= 0) & (x + right < width))[None, :]
        other = at + (down * width + right)
        nll = pair_nll(a, u, tl.load(values + other, mask=there, other=0.0))
        back0, back1 = _outgoing(edges0, edges1, rows, columns, y + down, x + right, other, there, height, width, SETS)
        pairs = _directed_pairs(bits0, back0, cell - 1, 8 - cell, there)
        sum0 += pairs * nll
        count0 += pairs
        if SETS == 2:
            pairs = _directed_pairs(bits1, back1, cell - 1, 8 - cell, there)
            sum1 += pairs * nll
            count1 += pairs
    return _total(sum0), _total(sum1), _total(count0), _total(count1)


@triton.jit
def tile_slopes(  # type: ignore[no-untyped-def]
    values, edges0, edges1, rows, columns, grad0, grad1, y, x, height, width, DILATION: tl.constexpr, SETS: tl.constexpr
):
    """Compute the gradient of ``grad0`` times the first and ``grad1`` times the second sum, for the tile's logits."""
    inside = (y < height)[:, None] & (x < width)[None, :]
    at = y[:, None] * width + x[None, :]
    a = tl.load(values + at, mask=inside, other=0.0)
    u = tl.exp(-tl.abs(a))
    bits0, bits1 = _outgoing(edges0, edges1, rows, columns, y, x, at, inside, height, width, SETS)
    total = tl.zeros_like(a)
    for bit in range(8):  # not unrolled, as above
        cell = bit + bit // 4
        down, right = (cell // 3 - 1) * DILATION, (cell % 3 - 1) * DILATION
        there = inside & ((y + down >= 0) & (y + down < height))[:, None]
        there = there & ((x + right >= 0) & (x + right < width))[None, :]
        other = at + (down * width + right)
        b = tl.load(values + other, mask=there, other=0.0)
        back0, back1 = _outgoing(edges0, edges1, rows, columns, y + down, x + right, other, there, height, width, SETS)
        factor = grad0 * (((bits0 >> bit) & 1) + ((back0 >> (7 - bit)) & 1)).to(tl.float32)
        if SETS == 2:
            factor += grad1 * (((bits1 >> bit) & 1) + ((back1 >> (7 - bit)) & 1)).to(tl.float32)
        total += tl.where(there, factor * pair_slope(a, u, b), 0.0)
    return total


@triton.jit
def _directed_pairs(bits, back, forth_bit, back_bit, there):  # type: ignore[no-untyped-def]
    """Return 0, 1 or 2 as float32: the edges between each pixel and its neighbor, in both directions."""
    return tl.where(there, ((bits >> forth_bit) & 1) + ((back >> back_bit) & 1), 0).to(tl.float32)


@triton.jit
def _outgoing(edges0, edges1, rows, columns, y, x, at, inside, height, width, SETS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Load the edges that start at the pixels (y, x), as bits of int32; 0 outside the box."""
    row = tl.load(rows + y, mask=(y >= 0) & (y < height), other=0)
    column = tl.load(columns + x, mask=(x >= 0) & (x < width), other=0)
    counted = inside & (row != 0)[:, None] & (column != 0)[None, :]
    bits0 = tl.load(edges0 + at, mask=counted, other=0).to(tl.int32)
    bits1 = bits0
    if SETS == 2:
        bits1 = tl.load(edges1 + at, mask=counted, other=0).to(tl.int32)
    return bits0, bits1


@triton.jit
def _total(tile):  # type: ignore[no-untyped-def]
    """Sum a tile over both axes."""
    return tl.sum(tl.sum(tile, axis=1), axis=0)
