"""Triton kernels of the dynamic mask head with three layers: one program computes all layers in one tile of cells.

The units of the first layer are computed one at a time and added to the second layer immediately: no thread needs a row
of the tile that another thread holds. The G numbers of a query are in the order that ``DynamicMaskHead`` documents.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .math import sigmoid


@triton.jit
def forward_kernel(  # type: ignore[no-untyped-def]
    features, params, locations, level, sizes, starts, out, cells, width, group,
    STRIDE: tl.constexpr, INPUTS: tl.constexpr, CHANNELS: tl.constexpr, DEPTH: tl.constexpr, NUMBERS: tl.constexpr,
    TILE: tl.constexpr
):  # fmt: skip
    """Compute the outputs (Q, 1 or 2, cells) of ``group`` queries of one image in TILE cells."""
    at = tl.program_id(0) * TILE + tl.arange(0, TILE)
    maps, pixel_x, pixel_y = _tile(features, at, cells, width, STRIDE, INPUTS)
    first = tl.load(starts + tl.program_id(1)) + tl.program_id(2) * group
    last = tl.minimum(tl.load(starts + tl.program_id(1) + 1), first + group)
    for q in range(first, last):
        weights = params + q * NUMBERS
        x, y = _relative(locations, level, sizes, q, pixel_x, pixel_y)
        hidden = tl.maximum(_second_layer(weights, maps, x, y, INPUTS, CHANNELS, TILE), 0.0)
        mask, depth = _last_layer(weights, hidden, INPUTS, CHANNELS, DEPTH)
        row = out + q * cells * (2 if DEPTH else 1)
        if DEPTH:
            mask = mask * sigmoid(depth)
            tl.store(row + cells + at, depth, mask=at < cells)
        tl.store(row + at, mask, mask=at < cells)


@triton.jit
def backward_kernel(  # type: ignore[no-untyped-def]
    features, params, locations, level, sizes, starts, grad, grad_params, grad_features, cells, width, group,
    STRIDE: tl.constexpr, INPUTS: tl.constexpr, CHANNELS: tl.constexpr, DEPTH: tl.constexpr, NUMBERS: tl.constexpr,
    TILE: tl.constexpr
):  # fmt: skip
    """Compute the contributions of ``group`` queries of one image to the gradients in TILE cells.

    Hidden units are recomputed. Writes grad_params (Q, T, G) per tile and grad_features (groups, B, INPUTS, cells) per
    group of queries; the caller sums over T and over the groups.
    """
    at = tl.program_id(0) * TILE + tl.arange(0, TILE)
    maps, pixel_x, pixel_y = _tile(features, at, cells, width, STRIDE, INPUTS)
    first = tl.load(starts + tl.program_id(1)) + tl.program_id(2) * group
    last = tl.minimum(tl.load(starts + tl.program_id(1) + 1), first + group)
    by_maps = tl.zeros((INPUTS, TILE), tl.float32)
    for q in range(first, last):
        weights = params + q * NUMBERS
        slopes = grad_params + (q * tl.num_programs(0) + tl.program_id(0)) * NUMBERS
        x, y = _relative(locations, level, sizes, q, pixel_x, pixel_y)
        hidden = _second_layer(weights, maps, x, y, INPUTS, CHANNELS, TILE)
        row = grad + q * cells * (2 if DEPTH else 1)
        by_hidden = _last_layer_backward(
            weights, slopes, row, at, cells, tl.maximum(hidden, 0.0), INPUTS, CHANNELS, DEPTH
        )
        by_hidden = tl.where(hidden > 0, by_hidden, 0.0)
        by_maps += _first_layers_backward(weights, slopes, maps, x, y, by_hidden, INPUTS, CHANNELS, TILE)
    image = (tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)).to(tl.int64)
    tl.store(grad_features + _feature_cells(image, at, cells, INPUTS), by_maps, mask=(at < cells)[None, :])


@triton.jit
def _tile(features, at, cells, width, STRIDE: tl.constexpr, INPUTS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Load the image's features (INPUTS, TILE), 0 after the last cell; return also each cell's input pixel (x, y)."""
    place = _feature_cells(tl.program_id(1).to(tl.int64), at, cells, INPUTS)
    maps = tl.load(features + place, mask=(at < cells)[None, :], other=0.0).to(tl.float32)
    pixel_x = (at % width) * STRIDE + STRIDE // 2
    pixel_y = (at // width) * STRIDE + STRIDE // 2
    return maps, pixel_x.to(tl.float32), pixel_y.to(tl.float32)


@triton.jit
def _feature_cells(image, at, cells, INPUTS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the indices (INPUTS, TILE) of some cells in features (B, INPUTS, cells); ``image`` is an int64."""
    return image * INPUTS * cells + tl.arange(0, INPUTS)[:, None] * cells + at[None, :]


@triton.jit
def _relative(locations, level, sizes, q, pixel_x, pixel_y):  # type: ignore[no-untyped-def]
    """Compute the relative coordinates (location - pixel) / size of query q."""
    size = tl.load(sizes + tl.load(level + q)).to(tl.float32)
    x = (tl.load(locations + 2 * q).to(tl.float32) - pixel_x) / size
    y = (tl.load(locations + 2 * q + 1).to(tl.float32) - pixel_y) / size
    return x, y


@triton.jit
def _first_unit(weights, maps, x, y, j, INPUTS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Compute unit j of the first layer (TILE,) before its ReLU; return also its weights of the features (INPUTS,)."""
    row = weights + j * (INPUTS + 2)
    weight = tl.load(row + 2 + tl.arange(0, INPUTS)).to(tl.float32)
    bias = tl.load(weights + CHANNELS * (INPUTS + 2 + CHANNELS + 1) + j).to(tl.float32)
    unit = tl.sum(weight[:, None] * maps, axis=0) + bias
    return unit + tl.load(row).to(tl.float32) * x + tl.load(row + 1).to(tl.float32) * y, weight


@triton.jit
def _second_weights(weights, j, INPUTS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Load the weights (CHANNELS,) from unit j of the first layer to the units of the second layer."""
    column = weights + CHANNELS * (INPUTS + 2) + j
    return tl.load(column + tl.arange(0, CHANNELS) * CHANNELS).to(tl.float32)


@triton.jit
def _second_layer(weights, maps, x, y, INPUTS: tl.constexpr, CHANNELS: tl.constexpr, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Compute the units (CHANNELS, TILE) of the second layer before their ReLU."""
    biases = weights + CHANNELS * (INPUTS + 2 + CHANNELS + 2) + tl.arange(0, CHANNELS)
    hidden = tl.zeros((CHANNELS, TILE), tl.float32) + tl.load(biases).to(tl.float32)[:, None]
    for j in range(CHANNELS):
        unit, _ = _first_unit(weights, maps, x, y, j, INPUTS, CHANNELS)
        hidden += _second_weights(weights, j, INPUTS, CHANNELS)[:, None] * tl.maximum(unit, 0.0)[None, :]
    return hidden


@triton.jit
def _last_layer(weights, hidden, INPUTS: tl.constexpr, CHANNELS: tl.constexpr, DEPTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """Compute M_m(F1) and M_d(F1) (eq. 1), (TILE,) each; without a depth layer, both are M_m(F1)."""
    mask_row = weights + CHANNELS * (INPUTS + 2 + CHANNELS)
    mask_bias = weights + CHANNELS * (INPUTS + 2 + CHANNELS + 3)
    o = tl.arange(0, CHANNELS)
    mask = tl.sum(tl.load(mask_row + o).to(tl.float32)[:, None] * hidden, axis=0) + tl.load(mask_bias).to(tl.float32)
    depth = mask
    if DEPTH:
        depth = tl.sum(tl.load(mask_bias + 1 + o).to(tl.float32)[:, None] * hidden, axis=0)
        depth += tl.load(mask_bias + 1 + CHANNELS).to(tl.float32)
    return mask, depth


@triton.jit
def _last_layer_backward(  # type: ignore[no-untyped-def]
    weights, slopes, grad, at, cells, hidden, INPUTS: tl.constexpr, CHANNELS: tl.constexpr, DEPTH: tl.constexpr
):
    """Return the gradient of the second layer's units (CHANNELS, TILE); store that of the last layer's numbers."""
    mask_row = CHANNELS * (INPUTS + 2 + CHANNELS)
    mask_bias = CHANNELS * (INPUTS + 2 + CHANNELS + 3)
    o = tl.arange(0, CHANNELS)
    by_mask = tl.load(grad + at, mask=at < cells, other=0.0).to(tl.float32)
    if DEPTH:
        mask, depth = _last_layer(weights, hidden, INPUTS, CHANNELS, DEPTH)
        score = sigmoid(depth)
        by_depth = tl.load(grad + cells + at, mask=at < cells, other=0.0).to(tl.float32)
        by_depth += by_mask * mask * score * (1.0 - score)
        by_mask = by_mask * score
        tl.store(slopes + mask_bias + 1 + o, tl.sum(by_depth[None, :] * hidden, axis=1))
        tl.store(slopes + mask_bias + 1 + CHANNELS, tl.sum(by_depth, axis=0))
    tl.store(slopes + mask_row + o, tl.sum(by_mask[None, :] * hidden, axis=1))
    tl.store(slopes + mask_bias, tl.sum(by_mask, axis=0))
    by_hidden = tl.load(weights + mask_row + o).to(tl.float32)[:, None] * by_mask[None, :]
    if DEPTH:
        by_hidden += tl.load(weights + mask_bias + 1 + o).to(tl.float32)[:, None] * by_depth[None, :]
    return by_hidden


@triton.jit
def _first_layers_backward(  # type: ignore[no-untyped-def]
    weights, slopes, maps, x, y, by_hidden, INPUTS: tl.constexpr, CHANNELS: tl.constexpr, TILE: tl.constexpr
):
    """Return the gradient of the features (INPUTS, TILE); store that of the numbers of the first two layers."""
    i, o = tl.arange(0, INPUTS), tl.arange(0, CHANNELS)
    by_maps = tl.zeros((INPUTS, TILE), tl.float32)
    biases = slopes + CHANNELS * (INPUTS + 2 + CHANNELS + 1)
    tl.store(biases + CHANNELS + o, tl.sum(by_hidden, axis=1))
    for j in range(CHANNELS):
        unit, weight = _first_unit(weights, maps, x, y, j, INPUTS, CHANNELS)
        column = slopes + CHANNELS * (INPUTS + 2) + j
        tl.store(column + o * CHANNELS, tl.sum(by_hidden * tl.maximum(unit, 0.0)[None, :], axis=1))
        by_unit = tl.sum(_second_weights(weights, j, INPUTS, CHANNELS)[:, None] * by_hidden, axis=0)
        by_unit = tl.where(unit > 0, by_unit, 0.0)
        row = slopes + j * (INPUTS + 2)
        tl.store(row, tl.sum(by_unit * x, axis=0))
        tl.store(row + 1, tl.sum(by_unit * y, axis=0))
        tl.store(row + 2 + i, tl.sum(by_unit[None, :] * maps, axis=1))
        tl.store(biases + j, tl.sum(by_unit, axis=0))
        by_maps += weight[:, None] * by_unit[None, :]
    return by_maps
