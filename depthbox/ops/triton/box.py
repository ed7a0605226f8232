"""Projection and pairwise losses as Triton kernels, two forward and one backward, without host synchronization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .box_kernels import backward_kernel, forward_kernel, reduce_kernel
from .support import ceil_div, make_maps_contiguous, next_power_of_two, on_device, view_as_bytes

_EPS = 1e-5  # the default of dice_loss
_LONGEST = 1024  # largest number of rows or columns that one program holds
_BLOCK_H = 16  # rows of one program of the forward pass


def fits(logits: Tensor, edge_sets: Sequence[Tensor], size: int) -> bool:
    """Return whether the kernels support the arguments of ``box_losses``.

    Args:
        logits: (N, 1, H, W). Supported: float32, not empty, H and W at most 1024.
        edge_sets: (B, H, W) each, bits of the similar neighbors. Supported: one or two sets of uint8.
        size: side of the neighborhood. Supported: 3, that is, 8 neighbors.
    """
    return (
        logits.dtype == torch.float32
        and logits.numel() > 0
        and size == 3
        and len(edge_sets) in (1, 2)
        and all(edges.dtype == torch.uint8 for edges in edge_sets)
        and max(logits.shape[2:]) <= _LONGEST
    )


def box_losses(
    logits: Tensor,
    edge_sets: Sequence[Tensor],
    image_index: Tensor,
    rows: Tensor,
    columns: Tensor,
    dilation: int = 2,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``losses.box_losses`` for arguments that fit, with a 3x3 kernel of neighbors.

    Besides its arguments it saves 8 bytes per row and column of each mask for the backward pass.

    Args:
        logits: (N, 1, H, W) float32, before the sigmoid.
        edge_sets: E = 1 or 2 tensors (B, H, W) uint8 of packed edges.
        image_index: (N,) int64, image of each instance.
        rows, columns: (N, H) and (N, W) bool, box of each instance.
        dilation: distance of the neighbors in cells.

    Returns:
        projection (N,), sums (E, N), both differentiable, and counts (E, N); float32.
    """
    return _BoxLosses.apply(logits, image_index, rows, columns, dilation, *edge_sets)


@dataclass(frozen=True)
class _Partial:
    """Results of the forward kernel per block of rows, see ``box_kernels``."""

    maxima: Tensor
    column_maxima: Tensor
    column_places: Tensor
    pairs: Tensor

    @classmethod
    def allocate(cls, logits: Tensor, blocks: int) -> _Partial:
        """Allocate the buffers for logits (N, 1, H, W) and a number of row blocks."""
        count, _, height, width = logits.shape
        column_maxima = logits.new_empty((count, blocks, width))
        return cls(
            maxima=logits.new_empty((count, height)),
            column_maxima=column_maxima,
            column_places=torch.empty_like(column_maxima, dtype=torch.int32),
            pairs=logits.new_empty((count, blocks, 4)),
        )


class _BoxLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, image_index, rows, columns, dilation, *edge_sets):  # type: ignore[no-untyped-def]
        logits, rows, columns = make_maps_contiguous(logits), view_as_bytes(rows), view_as_bytes(columns)
        edge_sets = tuple(edges.contiguous() for edges in edge_sets)
        count, _, height, width = logits.shape
        sets, blocks = len(edge_sets), ceil_div(height, _BLOCK_H)
        slopes = logits.new_empty((count, height + width))
        places, partial = torch.empty_like(slopes, dtype=torch.int32), _Partial.allocate(logits, blocks)
        out = logits.new_empty((1 + 2 * sets, count))
        with on_device(logits):
            forward_kernel[(blocks, count)](
                logits, edge_sets[0], edge_sets[-1], image_index, rows, columns, partial.maxima, places,
                partial.column_maxima, partial.column_places, partial.pairs, logits.stride(0), height, width,
                dilation, sets, _BLOCK_H, min(64, next_power_of_two(width)), num_warps=8,
            )  # fmt: skip
            reduce_kernel[(count,)](
                rows, columns, partial.maxima, partial.column_maxima, partial.column_places, partial.pairs, slopes,
                places, out, height, width, blocks, count, _EPS, sets, next_power_of_two(blocks),
                next_power_of_two(height), next_power_of_two(width), num_warps=8,
            )  # fmt: skip
        ctx.save_for_backward(logits, image_index, rows, columns, slopes, places, *edge_sets)
        ctx.dilation = dilation
        projection, sums, counts = out[0], out[1 : 1 + sets], out[1 + sets :]
        ctx.mark_non_differentiable(counts)
        return projection, sums, counts

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_projection, grad_sums, _grad_counts):  # type: ignore[no-untyped-def]
        logits, image_index, rows, columns, slopes, places, *edge_sets = ctx.saved_tensors
        count, _, height, width = logits.shape
        block_h, block_w = 8, min(64, next_power_of_two(width))
        total = torch.empty_like(logits, memory_format=torch.contiguous_format)
        with on_device(logits):
            backward_kernel[(ceil_div(width, block_w), ceil_div(height, block_h), count)](
                logits, edge_sets[0], edge_sets[-1], image_index, rows, columns, slopes, places, grad_projection,
                grad_sums, total, logits.stride(0), grad_projection.stride(0), grad_sums.stride(0),
                grad_sums.stride(1), height, width, ctx.dilation, len(edge_sets), block_h, block_w, num_warps=4,
            )  # fmt: skip
        return total, None, None, None, None, *[None] * len(edge_sets)
