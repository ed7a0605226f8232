"""Affinity, propagation and pair means by loops over pairs of cells, in float64."""

import math

import torch
from torch import Tensor


def affinity(features: Tensor, i: int, j: int, scale: float) -> float:
    product = sum(float(a) * float(b) for a, b in zip(features[:, i], features[:, j], strict=True))
    return 1 / (1 + math.exp(-scale * product))


def propagated_value(features: Tensor, values: Tensor, c: int, j: int, scale: float, power: float) -> float:
    weights = [affinity(features, j, i, scale) ** power for i in range(features.shape[1])]
    return sum(w * float(values[c, i]) for i, w in enumerate(weights)) / sum(weights)


def propagate_by_loop(features: Tensor, values: Tensor, scale: float = 1.0, power: float = 1.0) -> Tensor:
    channels, cells = values.shape
    rows = [[propagated_value(features, values, c, j, scale, power) for j in range(cells)] for c in range(channels)]
    return torch.tensor(rows, dtype=torch.float64).reshape(channels, cells)


def pair_means_by_loop(features: Tensor, masks: Tensor, background: str, scale: float = 1.0) -> Tensor:
    """Return the pair means (2,) of masks (M, n); zeros if no cell is in a mask."""
    cells = features.shape[1]
    owners = [set(masks[:, i].nonzero()[:, 0].tolist()) for i in range(cells)]
    sums, counts = [0.0, 0.0], [0, 0]
    if not any(owners):
        return torch.zeros(2, dtype=torch.float64)
    for i in range(cells):
        for j in range(cells):
            if owners[i] & owners[j]:
                sums[0] += 1 - affinity(features, i, j, scale)
                counts[0] += 1
            elif background == "negative" or owners[i] or owners[j]:
                sums[1] += affinity(features, i, j, scale)
                counts[1] += 1
    return torch.tensor([sums[0] / (counts[0] + 1), sums[1] / (counts[1] + 1)], dtype=torch.float64)
