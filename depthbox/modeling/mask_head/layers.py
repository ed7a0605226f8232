"""Layers of the dynamic mask head on the CPU: a few queries at a time, with hidden units recomputed in backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CACHED = 2**19  # hidden units of a layer that are computed together: 2 MB, which fit into the cache of a core


def dynamic_layers(features: Tensor, weights: list[Tensor], biases: list[Tensor], counts: tuple[int, ...]) -> Tensor:
    """Apply each query's own 1x1 convolutions, with ReLU in between, to the features of its image.

    The result equals one ``torch.baddbmm`` per layer, but only the arguments are saved for the backward pass.

    Args:
        features: (B, C, K) float32 or float64, for K cells.
        weights: (Q, out, in) per layer; the first layer has no bias (a constant feature takes its place).
        biases: (Q, out) per layer after the first.
        counts: number of queries of each image; the queries are sorted by image.

    Returns:
        (Q, out of the last layer, K).
    """
    result: Tensor = _DynamicLayers.apply(features, counts, *weights, *biases)
    return result


class _DynamicLayers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, counts: tuple[int, ...], *params: Tensor) -> Tensor:
        weights, biases = _split(params)
        result = features.new_empty((len(weights[0]), weights[-1].shape[1], features.shape[2]))
        for image, part in _parts(counts, weights[0].shape[1] * features.shape[2]):
            units = _hidden(features[image], weights, biases, part)
            torch.baddbmm(biases[-1][part, :, None], weights[-1][part], units[-1], out=result[part])
        ctx.counts = counts
        ctx.save_for_backward(features, *params)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        features, *params = ctx.saved_tensors
        weights, biases = _split(params)
        grad_features = torch.zeros_like(features)
        grad_params = [torch.empty_like(param) for param in params]
        grad_weights, grad_biases = _split(grad_params)
        for image, part in _parts(ctx.counts, weights[0].shape[1] * features.shape[2]):
            units = _hidden(features[image], weights, biases, part)
            slope = grad[part]
            for layer in range(len(weights) - 1, 0, -1):
                grad_biases[layer - 1][part] = slope.sum(2)
                grad_weights[layer][part] = slope @ units[layer - 1].transpose(1, 2)
                slope = weights[layer][part].transpose(1, 2) @ slope
                slope = torch.ops.aten.threshold_backward(slope, units[layer - 1], 0)
            slope = slope.flatten(0, 1)
            grad_weights[0][part] = (slope @ features[image].T).view_as(grad_weights[0][part])
            grad_features[image].addmm_(weights[0][part].flatten(0, 1).T, slope)
        return grad_features, None, *grad_params


def _hidden(features: Tensor, weights: list[Tensor], biases: list[Tensor], part: slice) -> list[Tensor]:
    """Return the units (q, out, K) of all layers but the last, after the ReLU."""
    first = weights[0][part]
    units = [(first.flatten(0, 1) @ features).relu_().view(len(first), first.shape[1], -1)]
    for weight, bias in zip(weights[1:-1], biases[:-1], strict=True):
        units.append(torch.baddbmm(bias[part, :, None], weight[part], units[-1]).relu_())
    return units


def _split(params: Any) -> tuple[list[Tensor], list[Tensor]]:
    layers = (len(params) + 1) // 2
    return list(params[:layers]), list(params[layers:])


def _parts(counts: tuple[int, ...], units: int) -> Iterator[tuple[int, slice]]:
    """Yield an image and a slice of a few of its queries; ``units`` is the number of units of a layer per query."""
    step, start = max(_CACHED // max(units, 1), 1), 0
    for image, count in enumerate(counts):
        for first in range(start, start + count, step):
            yield image, slice(first, min(first + step, start + count))
        start += count
