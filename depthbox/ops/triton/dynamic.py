"""The dynamic mask head with three layers as one Triton kernel forward and one backward; no host sync."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...structures import Queries
from .dynamic_kernels import backward_kernel, forward_kernel
from .support import on_device

_TILE = 128  # cells of a program, which one warp works on: sums over them need no shared memory
_GROUP, _GROUPS = 8, 16  # queries of a program, which share the features it has read; most groups of an image


def fits(features: Tensor, params: Tensor, layer_shapes: list[tuple[int, int]]) -> bool:
    """Whether the kernels take this: three layers, widths that are powers of two, at most single precision."""
    channels, inputs = layer_shapes[0][0], layer_shapes[0][1] - 2
    return (
        len(layer_shapes) == 3
        and (channels, inputs) in {(8, 4), (8, 8), (8, 16), (4, 8), (4, 16), (16, 8), (16, 16)}
        and all(x.dtype in (torch.float32, torch.float16, torch.bfloat16) for x in (features, params))
        and features.numel() > 0
        and len(params) > 0
    )


def coarse_logits(
    features: Tensor, params: Tensor, queries: Queries, sizes: Tensor, stride: int, channels: int, depth_layer: bool
) -> Tensor:
    """``DynamicMaskHead.coarse_logits`` of what ``fits``, computed in float32; kept is what is given.

    Args:
        features: (B, C, h, w).
        params: (Q, G) numbers of the queries.
        queries: sorted by image.
        sizes: (L,) divisor of the relative coordinates for each level, in pixels.
        stride: input pixels per cell of the features.
        channels: hidden channels.
        depth_layer: whether the numbers hold one.

    Returns:
        (Q, 1 or 2, h, w) in the type that matrix products of the arguments have here.
    """
    dtype = torch.promote_types(features.dtype, params.dtype)
    if torch.is_autocast_enabled(features.device.type):
        dtype = torch.get_autocast_dtype(features.device.type)
    images = torch.arange(len(features) + 1, device=features.device)
    starts = torch.searchsorted(queries.image_index.contiguous(), images)
    group = max(_GROUP, -(-max(queries.counts) // _GROUPS))
    fixed = (queries.locations.contiguous(), queries.level.contiguous(), sizes, starts)
    return _Head.apply(
        features, params, *fixed, (stride, channels, depth_layer, group, -(-max(queries.counts) // group), dtype)
    )


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, params, locations, level, sizes, starts, plan):  # type: ignore[no-untyped-def]
        features, params = features.contiguous(), params.contiguous()
        stride, channels, depth_layer, group, groups, dtype = plan
        images, inputs, height, width = features.shape
        grid = (-(-height * width // _TILE), images, groups)
        outputs = 2 if depth_layer else 1
        out = torch.empty((len(params), outputs, height, width), dtype=dtype, device=features.device)
        with on_device(features):
            forward_kernel[grid](
                features, params, locations, level, sizes, starts, out, height * width, width, group, stride, inputs,
                channels, depth_layer, params.shape[1], _TILE, num_warps=1,
            )  # fmt: skip
        ctx.save_for_backward(features, params, locations, level, sizes, starts)
        ctx.plan, ctx.grid = plan, grid
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        features, params, locations, level, sizes, starts = ctx.saved_tensors
        stride, channels, depth_layer, group, groups, _ = ctx.plan
        inputs, height, width = features.shape[1:]
        count, numbers = params.shape
        options = {"dtype": torch.float32, "device": features.device}
        by_params = torch.empty((count, ctx.grid[0], numbers), **options)
        by_features = torch.empty((groups, *features.shape), **options)
        with on_device(features):
            backward_kernel[ctx.grid](
                features, params, locations, level, sizes, starts, grad.contiguous(), by_params, by_features,
                height * width, width, group, stride, inputs, channels, depth_layer, numbers, _TILE, num_warps=1,
            )  # fmt: skip
        by_params, by_features = by_params.sum(1).to(params.dtype), by_features.sum(0).to(features.dtype)
        return by_features, by_params, None, None, None, None, None
