"""Dynamic mask head with three layers as Triton kernels, one forward and one backward, without host synchronization."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dynamic_kernels import backward_kernel, forward_kernel
from .support import ceil_div, on_device

_TILE = 128  # cells of one program, which is one warp: sums over the cells need no shared memory
_GROUP = 8  # queries of one program, which share the loaded features
_GROUPS = 16  # largest number of groups per image; more queries make the groups larger


def fits(features: Tensor, params: Tensor, layer_shapes: list[tuple[int, int]]) -> bool:
    """Return whether the kernels support these features and filters.

    They do for three layers, single or half precision, and these widths (hidden channels, C): 8 with 4, 8 or 16; 4
    with 8 or 16; 16 with 8 or 16.

    Args:
        features, params: as in ``coarse_logits``.
        layer_shapes: (outputs, inputs) of each layer; the inputs of the first include x and y.
    """
    channels, inputs = layer_shapes[0][0], layer_shapes[0][1] - 2
    return (
        len(layer_shapes) == 3
        and (channels, inputs) in {(8, 4), (8, 8), (8, 16), (4, 8), (4, 16), (16, 8), (16, 16)}
        and all(x.dtype in (torch.float32, torch.float16, torch.bfloat16) for x in (features, params))
        and features.numel() > 0
        and len(params) > 0
    )


def coarse_logits(
    features: Tensor,
    params: Tensor,
    image_index: Tensor,
    level: Tensor,
    locations: Tensor,
    sizes: Tensor,
    *,
    max_queries: int,
    stride: int,
    channels: int,
    depth_layer: bool,
) -> Tensor:
    """Compute ``DynamicMaskHead.coarse_logits`` (eq. 1) in float32 for arguments that fit, saving only the arguments.

    Args:
        features: (B, C, h, w), float32, float16 or bfloat16.
        params: (Q, G), filters of each query, in the order of ``DynamicMaskHead``.
        image_index: (Q,) int64, image of each query, ascending.
        level: (Q,) int64, feature level of each query.
        locations: (Q, 2) float32, (x, y) in input pixels.
        sizes: (L,) divisor of the relative coordinates for each level, in pixels.
        max_queries: largest number of queries of one image.
        stride: input pixels per cell of the features.
        channels: hidden channels.
        depth_layer: ``params`` include a depth layer.

    Returns:
        (Q, 1 or 2, h, w), mask logits and, with the depth layer, depth logits. The dtype is that of a matrix product of
        the arguments, autocast included.
    """
    dtype = torch.promote_types(features.dtype, params.dtype)
    if torch.is_autocast_enabled(features.device.type):
        dtype = torch.get_autocast_dtype(features.device.type)
    images = torch.arange(len(features) + 1, device=features.device)
    starts = torch.searchsorted(image_index.contiguous(), images)
    group = max(_GROUP, ceil_div(max_queries, _GROUPS))
    plan = _Plan(stride, channels, depth_layer, group, ceil_div(max_queries, group), dtype)
    return _DynamicHead.apply(features, params, locations.contiguous(), level.contiguous(), sizes, starts, plan)


@dataclass(frozen=True)
class _Plan:
    """Constants of both kernels, and the dtype of the outputs."""

    stride: int
    channels: int
    depth_layer: bool
    group: int
    groups: int
    dtype: torch.dtype


class _DynamicHead(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, params, locations, level, sizes, starts, plan):  # type: ignore[no-untyped-def]
        features, params = features.contiguous(), params.contiguous()
        images, inputs, height, width = features.shape
        grid = (ceil_div(height * width, _TILE), images, plan.groups)
        outputs = 2 if plan.depth_layer else 1
        out = torch.empty((len(params), outputs, height, width), dtype=plan.dtype, device=features.device)
        with on_device(features):
            forward_kernel[grid](
                features, params, locations, level, sizes, starts, out, height * width, width, plan.group,
                plan.stride, inputs, plan.channels, plan.depth_layer, params.shape[1], _TILE, num_warps=1,
            )  # fmt: skip
        ctx.save_for_backward(features, params, locations, level, sizes, starts)
        ctx.plan, ctx.grid = plan, grid
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        features, params, locations, level, sizes, starts = ctx.saved_tensors
        plan, (inputs, height, width) = ctx.plan, features.shape[1:]
        count, numbers = params.shape
        options = {"dtype": torch.float32, "device": features.device}
        by_params = torch.empty((count, ctx.grid[0], numbers), **options)
        by_features = torch.empty((plan.groups, *features.shape), **options)
        with on_device(features):
            backward_kernel[ctx.grid](
                features, params, locations, level, sizes, starts, grad.contiguous(), by_params, by_features,
                height * width, width, plan.group, plan.stride, inputs, plan.channels, plan.depth_layer, numbers,
                _TILE, num_warps=1,
            )  # fmt: skip
        by_params, by_features = by_params.sum(1).to(params.dtype), by_features.sum(0).to(features.dtype)
        return by_features, by_params, None, None, None, None, None
