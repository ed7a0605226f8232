"""Propagation and pair means of ``ops.affinity`` as Triton kernels, one forward and one backward.

A program owns BLOCK rows j of A = sigmoid(scale F^T F) and visits all columns i, tile by tile, in registers. Nothing of
the size n x n reaches the memory. All results are sums over the columns of a row, because A is symmetric, so no program
adds to the results of another one and the results do not depend on the order of the programs. The formulas are those of
``ops/affinity/blocked.py``. Products of matrices are computed in full float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from .math import sigmoid
from .support import ceil_div, next_power_of_two, on_device

_MOST_SETS, _MOST_MEMBERS = 2, 4
_MOST_FEATURES, _MOST_VALUES = 256, 31  # tiles of both fit into 96 KiB of shared memory and the registers
_BLOCK, _WARPS, _STAGES = 32, 8, 1


class AffinityOptions(NamedTuple):
    """AffinityOptions of the affinity, see ``ops.affinity.propagate_and_compare``.

    Attributes:
        scale, power: factor of the inner products, Hadamard power.
        negative: for each set of segments, True if pairs without a segment count as negative.
    """

    scale: float
    power: float
    negative: tuple[bool, ...]


def fits(features: Tensor, values: Tensor, members: Sequence[Tensor]) -> bool:
    """Return whether the kernels support (D, n) features, (C, n) values and the members (n, S) of L sets."""
    small = features.shape[0] <= _MOST_FEATURES and values.shape[0] <= _MOST_VALUES and features.shape[1] > 0
    few = len(members) <= _MOST_SETS and all(m.shape[1] <= _MOST_MEMBERS for m in members)
    return features.dtype == values.dtype == torch.float32 and small and few


def propagate_and_compare(
    features: Tensor, values: Tensor, members: Sequence[Tensor], options: AffinityOptions
) -> tuple[Tensor, Tensor]:
    """Compute ``ops.affinity.propagate_and_compare`` for arguments that fit.

    Args:
        features: (D, n) float32.
        values: (C, n) float32.
        members: L <= 2 tensors (n, S) int64, as in ``ops.affinity.CellSegments``.
        options: options of the affinity.

    Returns:
        propagated (C, n) and pair means (L, 2), float32.
    """
    count = max((m.shape[1] for m in members), default=1)
    packed = features.new_zeros((max(len(members), 1), features.shape[1], count), dtype=torch.int32)
    for k, part in enumerate(members):
        packed[k, :, : part.shape[1]] = part
    propagated, means = _Affinity.apply(features, values, packed, len(members), options)
    return propagated, means


class _Affinity(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, values, members, sets, options):  # type: ignore[no-untyped-def]
        rows = features.t().contiguous()
        extended = torch.cat((values.t(), values.new_ones(len(rows), 1)), dim=1)
        sums, pairs = torch.empty_like(extended), rows.new_empty((len(members), len(rows), 4))
        with on_device(rows):
            forward_kernel[(ceil_div(len(rows), _BLOCK),)](
                rows, extended, members, sums, pairs, len(rows), options.scale, options.power,
                **_constants(rows, extended, members, sets, options), num_warps=_WARPS, num_stages=_STAGES,
            )  # fmt: skip
        totals = pairs[:sets].sum(1, dtype=torch.float64)
        propagated = sums[:, :-1] / sums[:, -1:]
        ctx.sets, ctx.options = sets, options
        ctx.save_for_backward(rows, extended, members, propagated, sums[:, -1:], totals[:, 2:])
        return propagated.t(), (totals[:, :2] / (totals[:, 2:] + 1)).float()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_propagated, grad_means):  # type: ignore[no-untyped-def]
        rows, extended, members, propagated, norms, counts = ctx.saved_tensors
        by_sum = grad_propagated.t() / norms
        by_sum = torch.cat((by_sum, -(by_sum * propagated).sum(1, keepdim=True)), dim=1).contiguous()
        factors = torch.zeros((_MOST_SETS, 2), device=rows.device)
        factors[: ctx.sets] = (grad_means.double() / (counts + 1)).float()
        by_rows, by_extended = torch.empty_like(rows), torch.empty_like(extended)
        with on_device(rows):
            backward_kernel[(ceil_div(len(rows), _BLOCK),)](
                rows, extended, by_sum, members, factors, by_rows, by_extended,
                len(rows), ctx.options.scale, ctx.options.power,
                **_constants(rows, extended, members, ctx.sets, ctx.options), num_warps=_WARPS, num_stages=_STAGES,
            )  # fmt: skip
        return by_rows.t(), by_extended[:, :-1].t(), None, None, None


def _constants(rows: Tensor, extended: Tensor, members: Tensor, sets: int, options: AffinityOptions) -> dict[str, int]:
    """Return the compile-time arguments: widths, padded widths and the kind of pairs."""
    negative = sum(1 << k for k, counts in enumerate(options.negative) if counts)
    widths = {"D": rows.shape[1], "E": extended.shape[1], "S": members.shape[2]}
    padded = {"WIDE_" + name: max(next_power_of_two(widths[name]), 16) for name in ("D", "E")}
    return widths | padded | {"SETS": sets, "NEGATIVE": negative, "LINEAR": options.power == 1, "BLOCK": _BLOCK}


@triton.jit
def load_rows(values, index, n, WIDTH: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Load rows (BLOCK, WIDE) of a matrix (n, WIDTH), zeros outside."""
    column = tl.arange(0, WIDE)
    inside = (index < n)[:, None] & (column < WIDTH)[None, :]
    return tl.load(values + index[:, None].to(tl.int64) * WIDTH + column[None, :], mask=inside, other=0.0)


@triton.jit
def store_rows(target, values, index, n, WIDTH: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Store rows (BLOCK, WIDE) of a matrix (n, WIDTH)."""
    column = tl.arange(0, WIDE)
    inside = (index < n)[:, None] & (column < WIDTH)[None, :]
    tl.store(target + index[:, None].to(tl.int64) * WIDTH + column[None, :], values, mask=inside)


@triton.jit
def power_of(a, power, LINEAR: tl.constexpr):  # type: ignore[no-untyped-def]
    """Compute a^power of a in [0, 1]."""
    if LINEAR:
        result = a
    else:
        result = tl.where(a > 0, tl.exp(power * tl.log(tl.maximum(a, 1e-37))), 0.0)
    return result


@triton.jit
def share_segment(members, j, i, n, S: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return (BLOCK, BLOCK) int32, 1 if a segment contains both cells, and 0 for cells outside."""
    shared = tl.zeros((j.shape[0], i.shape[0]), tl.int32)
    for s in tl.static_range(S):
        here = tl.load(members + j * S + s, mask=j < n, other=0)
        for t in tl.static_range(S):
            there = tl.load(members + i * S + t, mask=i < n, other=0)
            shared = shared | ((here[:, None] == there[None, :]) & (here > 0)[:, None]).to(tl.int32)
    return shared


@triton.jit
def count_negative(members, shared, j, i, n, S: tl.constexpr, ALL: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return (BLOCK, BLOCK) int32, 1 for negative pairs: with ALL also those of two cells without a segment."""
    inside = ((j < n)[:, None] & (i < n)[None, :]).to(tl.int32)
    if ALL:
        counted = inside
    else:
        here = tl.load(members + j * S, mask=j < n, other=0) > 0
        there = tl.load(members + i * S, mask=i < n, other=0) > 0
        counted = inside & (here[:, None] | there[None, :]).to(tl.int32)
    return counted & (1 - shared)


@triton.jit
def pair_sums(a, members, j, i, n, S: tl.constexpr, ALL: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return (BLOCK, 4): sum of 1 - A over positive pairs, of A over negative ones, both counts, of each row."""
    shared = share_segment(members, j, i, n, S)
    negative = count_negative(members, shared, j, i, n, S, ALL).to(tl.float32)
    positive, column = shared.to(tl.float32), tl.arange(0, 4)[None, :]
    near, far = tl.sum((1.0 - a) * positive, axis=1)[:, None], tl.sum(a * negative, axis=1)[:, None]
    counts = tl.where(column == 2, tl.sum(positive, axis=1)[:, None], tl.sum(negative, axis=1)[:, None])
    return tl.where(column == 0, near, tl.where(column == 1, far, counts))


@triton.jit
def forward_kernel(  # type: ignore[no-untyped-def]
    features, extended, members, sums, pairs, n, scale, power,
    D: tl.constexpr, E: tl.constexpr, S: tl.constexpr, WIDE_D: tl.constexpr, WIDE_E: tl.constexpr,
    SETS: tl.constexpr, NEGATIVE: tl.constexpr, LINEAR: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sum A^power times the extended values, and for each set sum and count the pairs, over all columns of BLOCK rows.

    Writes sums (n, E) and pairs (SETS, n, 4), see ``pair_sums``.
    """
    j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mine = load_rows(features, j, n, D, WIDE_D)
    total = tl.zeros((BLOCK, WIDE_E), tl.float32)
    first, second = tl.zeros((BLOCK, 4), tl.float32), tl.zeros((BLOCK, 4), tl.float32)
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        other = load_rows(features, i, n, D, WIDE_D)
        a = sigmoid(scale * tl.dot(mine, tl.trans(other), input_precision="ieee"))
        weights = power_of(a, power, LINEAR)  # the values of cells outside are 0
        total += tl.dot(weights, load_rows(extended, i, n, E, WIDE_E), input_precision="ieee")
        if SETS > 0:
            first += pair_sums(a, members, j, i, n, S, NEGATIVE & 1)
        if SETS > 1:
            second += pair_sums(a, members + n * S, j, i, n, S, NEGATIVE & 2)
    store_rows(sums, total, j, n, E, WIDE_E)
    if SETS > 0:
        store_rows(pairs, first, j, n, 4, 4)
    if SETS > 1:
        store_rows(pairs + 4 * n, second, j, n, 4, 4)


@triton.jit
def pair_slopes(members, factors, j, i, n, S: tl.constexpr, ALL: tl.constexpr):  # type: ignore[no-untyped-def]
    """Compute the gradient (BLOCK, BLOCK) of the pair means of one set by A_ji and A_ij."""
    shared = share_segment(members, j, i, n, S)
    negative = count_negative(members, shared, j, i, n, S, ALL).to(tl.float32)
    return 2.0 * (tl.load(factors + 1) * negative - tl.load(factors) * shared.to(tl.float32))


@triton.jit
def backward_kernel(  # type: ignore[no-untyped-def]
    features, extended, by_sum, members, factors, by_features, by_extended, n, scale, power,
    D: tl.constexpr, E: tl.constexpr, S: tl.constexpr, WIDE_D: tl.constexpr, WIDE_E: tl.constexpr,
    SETS: tl.constexpr, NEGATIVE: tl.constexpr, LINEAR: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of BLOCK rows by the features (n, D) and by the extended values (n, E).

    ``by_sum`` (n, E) is the gradient by the sums of the forward pass, ``factors`` (2, 2) that of the pair means,
    divided by the numbers of pairs plus 1.
    """
    j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mine = load_rows(features, j, n, D, WIDE_D)
    my_values, my_slopes = load_rows(extended, j, n, E, WIDE_E), load_rows(by_sum, j, n, E, WIDE_E)
    by_mine, by_values = tl.zeros((BLOCK, WIDE_D), tl.float32), tl.zeros((BLOCK, WIDE_E), tl.float32)
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        other = load_rows(features, i, n, D, WIDE_D)
        values, slopes = load_rows(extended, i, n, E, WIDE_E), load_rows(by_sum, i, n, E, WIDE_E)
        a = sigmoid(scale * tl.dot(mine, tl.trans(other), input_precision="ieee"))
        weights = power_of(a, power, LINEAR)
        by_values += tl.dot(weights, slopes, input_precision="ieee")
        both = tl.dot(my_slopes, tl.trans(values), input_precision="ieee")
        both += tl.dot(my_values, tl.trans(slopes), input_precision="ieee")
        both *= power * weights
        if SETS > 0:
            both += a * pair_slopes(members, factors, j, i, n, S, NEGATIVE & 1)
        if SETS > 1:
            both += a * pair_slopes(members + n * S, factors + 2, j, i, n, S, NEGATIVE & 2)
        by_mine += tl.dot(both * (1.0 - a), other, input_precision="ieee")
    store_rows(by_features, scale * by_mine, j, n, D, WIDE_D)
    store_rows(by_extended, by_values, j, n, E, WIDE_E)
