"""Affinity of all pairs of cells in square tiles, exact, with gradients by hand: memory of one tile, not of n x n.

The cells are divided into blocks R. A tile A_RC = sigmoid(scale F_R^T F_C) is computed for R <= C only and serves both
directions, because A is symmetric. The backward pass computes it again. With B = A^beta, U = P B^T, Z = B 1 and
P' = U / Z, the gradient g of P' gives

    u = g / Z,   z = -sum_c g_c P'_c / Z,   dB_ji = u_j . P_i + z_j,   dP_i = sum_j B_ji u_j,

and a pair mean with the gradient w_ji of A_ji adds to dA_ji. With X_ji = (dA_ji + dA_ij) A_ji (1 - A_ji), which is
symmetric, dF_j = scale sum_i X_ji F_i. All sums over cells are matrix products. Labels of pairs are products of one-hot
groups (``groups``), so they need no pass over the tile.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .plain import AffinityResult
from .plan import Plan


def run_blocked(features: Tensor, values: Tensor, plan: Plan) -> AffinityResult:
    """Propagate values and compute pair means.

    Args:
        features: (D, n) float32 or float64.
        values: (C, n) of the same dtype.
        plan: tiles of the n cells.
    """
    return AffinityResult(*_TiledAffinity.apply(features, values, plan))


class _Tiles:
    """Buffers of one tile, and the affinity in them."""

    def __init__(self, features: Tensor, plan: Plan) -> None:
        side = max((b.stop - b.start for b in plan.blocks), default=0)
        self._features, self._plan = features, plan
        self._memory = features.new_empty((3, side * side))

    def buffer(self, number: int, r: int, c: int) -> Tensor:
        here, there = self._plan.blocks[r], self._plan.blocks[c]
        shape = here.stop - here.start, there.stop - there.start
        return self._memory[number, : shape[0] * shape[1]].view(shape)

    def affinity(self, r: int, c: int) -> Tensor:
        out, plan = self.buffer(0, r, c), self._plan
        here, there = self._features[plan.blocks[r]], self._features[plan.blocks[c]].t()
        return torch.addmm(out, here, there, beta=0, alpha=plan.scale, out=out).sigmoid_()

    def weights(self, affinity: Tensor, r: int, c: int) -> Tensor:
        """Return A^beta: the affinity itself for the power 1."""
        if self._plan.power == 1:
            return affinity
        out, power = self.buffer(1, r, c), self._plan.power
        if power not in (2, 4, 8, 16):
            return torch.pow(affinity, power, out=out)
        torch.mul(affinity, affinity, out=out)
        for _ in range(int(power).bit_length() - 2):  # squaring is much faster than pow
            out.mul_(out)
        return out


class _TiledAffinity(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, values, plan):  # type: ignore[no-untyped-def]
        rows, extended = features.t()[plan.order], _with_ones(values.t()[plan.order])
        sums, pairs = torch.zeros_like(extended), _PairSums(plan, features.device)
        tiles = _Tiles(rows, plan)
        for r, c in plan.tiles():
            here, there = plan.blocks[r], plan.blocks[c]
            affinity = tiles.affinity(r, c)
            pairs.add(affinity, r, c)
            if values.shape[0]:
                weights = tiles.weights(affinity, r, c)
                sums[here].addmm_(weights, extended[there])
                if r != c:
                    sums[there].addmm_(weights.t(), extended[here])
        propagated = sums[:, :-1] / sums[:, -1:] if values.shape[0] else sums[:, :-1]
        ctx.plan, ctx.counts = plan, pairs.counts
        ctx.save_for_backward(features, values, propagated, sums[:, -1:])
        result = torch.empty_like(values.t(), memory_format=torch.contiguous_format)
        result[plan.order] = propagated
        return result.t(), pairs.means().to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_propagated, grad_means):  # type: ignore[no-untyped-def]
        features, values, propagated, norms = ctx.saved_tensors
        plan = ctx.plan
        rows, extended = features.t()[plan.order], _with_ones(values.t()[plan.order])
        by_sum = grad_propagated.t()[plan.order] / norms
        by_sum = torch.cat((by_sum, -(by_sum * propagated).sum(1, keepdim=True)), dim=1)
        factors = grad_means.double() / (ctx.counts + 1)
        total = _Backward(plan, rows, extended, by_sum, factors)
        for r, c in plan.tiles():
            total.add(r, c)
        grad_features, grad_values = torch.empty_like(rows), torch.empty_like(extended[:, :-1])
        grad_features[plan.order], grad_values[plan.order] = total.rows, total.extended[:, :-1]
        return grad_features.t(), grad_values.t(), None


class _Factors(NamedTuple):
    """Factors (R, H) and (C, H) of a matrix (R, C) of rank H."""

    left: Tensor
    right: Tensor


class _Backward:
    """Gradients of one backward pass, added up tile by tile."""

    def __init__(self, plan: Plan, rows: Tensor, extended: Tensor, by_sum: Tensor, factors: Tensor) -> None:
        self.rows, self.extended = torch.zeros_like(rows), torch.zeros_like(extended)
        self._plan, self._tiles, self._factors = plan, _Tiles(rows, plan), factors
        self._inputs, self._by_sum = rows, by_sum
        self._left = torch.cat((by_sum, extended), dim=1)
        self._right = torch.cat((extended, by_sum), dim=1)

    def add(self, r: int, c: int) -> None:
        """Add the gradients of the tile (r, c) in both directions."""
        plan = self._plan
        here, there = plan.blocks[r], plan.blocks[c]
        affinity = self._tiles.affinity(r, c)
        slope = self._slope(affinity, r, c)
        self.rows[here].addmm_(slope, self._inputs[there], alpha=plan.scale)
        if r != c:
            self.rows[there].addmm_(slope.t(), self._inputs[here], alpha=plan.scale)

    def _slope(self, affinity: Tensor, r: int, c: int) -> Tensor:
        """Compute X of a tile; the affinity is overwritten."""
        power, slope = self._plan.power, self._tiles.buffer(2, r, c)
        weights = self._tiles.weights(affinity, r, c)
        self._add_values(weights, slope, r, c)
        pairs = self._pair_factors(r, c)
        if power == 1:
            for left, right in pairs:
                slope.addmm_(left, right.t())
            return torch.ops.aten.sigmoid_backward.grad_input(slope, affinity, grad_input=slope)
        slope.mul_(weights).mul_(power)
        for left, right in pairs:
            slope.addcmul_(torch.mm(left, right.t(), out=weights), affinity)
        return slope.mul_(affinity.neg_().add_(1))

    def _add_values(self, weights: Tensor, slope: Tensor, r: int, c: int) -> None:
        """Add the gradient of the values, and store that of the weights A^beta in ``slope``."""
        here, there = self._plan.blocks[r], self._plan.blocks[c]
        if self.extended.shape[1] == 1:  # no values
            slope.zero_()
            return
        self.extended[there].addmm_(weights.t(), self._by_sum[here])
        if r != c:
            self.extended[here].addmm_(weights, self._by_sum[there])
        torch.mm(self._left[here], self._right[there].t(), out=slope)

    def _pair_factors(self, r: int, c: int) -> list[_Factors]:
        """Factorize the gradient of the pair means by A_ji and A_ij for each set."""
        result = []
        for k, relation in enumerate(self._plan.relations(r, c)):
            by_positive, by_negative = 2 * self._factors[k]
            by_group = by_negative * relation.negative - by_positive * relation.positive
            here, there = self._plan.groups[r][k], self._plan.groups[c][k]
            result.append(_Factors(by_group.to(there.one_hot.dtype)[here.index], there.one_hot))
        return result


class _PairSums:
    """Sums of the affinity over the positive and the negative pairs of each set of segments."""

    def __init__(self, plan: Plan, device: torch.device) -> None:
        self._plan = plan
        self.sums = torch.zeros((plan.sets, 2), dtype=torch.float64, device=device)
        self.counts = torch.zeros_like(self.sums)

    def add(self, affinity: Tensor, r: int, c: int) -> None:
        """Add the pairs of the tile (r, c) in both directions."""
        both = 1 if r == c else 2
        for k, relation in enumerate(self._plan.relations(r, c)):
            here, there = self._plan.groups[r][k], self._plan.groups[c][k]
            totals = affinity.new_zeros((len(here.sizes), len(there.sizes)), dtype=torch.float64)
            totals.index_add_(0, here.index, (affinity @ there.one_hot).double())
            counts = here.sizes[:, None] * there.sizes
            for sign, pairs in enumerate((relation.positive, relation.negative)):
                self.sums[k, sign] += both * (totals * pairs).sum()
                self.counts[k, sign] += both * (counts * pairs).sum()

    def means(self) -> Tensor:
        """Return the pair means (L, 2) in float64."""
        shortfall = torch.stack((self.counts[:, 0] - self.sums[:, 0], self.sums[:, 1]), dim=1)
        return shortfall / (self.counts + 1)


def _with_ones(values: Tensor) -> Tensor:
    """Append a column of ones to (n, C) values, whose propagation gives the norms Z."""
    return torch.cat((values, values.new_ones(len(values), 1)), dim=1)
