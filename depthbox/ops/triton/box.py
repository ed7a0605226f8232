"""The losses of a mask that its box gives, as three Triton kernels: two forward, one backward; no host sync."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .box_kernels import backward_kernel, finish_kernel, forward_kernel
from .support import next_power_of_two, on_device

_EPS = 1e-5  # of dice_loss
_LONGEST = 1024  # rows or columns of the map that one program holds


def fits(logits: Tensor, edge_sets: Sequence[Tensor], size: int) -> bool:
    """Whether the kernels take this: float32, one or two sets of 8 neighbours, a map of at most 1024 x 1024 cells."""
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
    """``losses.box_losses`` of what ``fits``.

    Kept for the backward pass: what is given, and 8 bytes for each row and column of each mask.
    """
    return _BoxLosses.apply(logits, image_index, rows, columns, dilation, *edge_sets)


def contiguous_maps(logits: Tensor) -> Tensor:
    """(N, 1, H, W) whose maps are contiguous; the distance between maps may be any, as after a split of channels."""
    return logits if logits[0].is_contiguous() else logits.contiguous()


def as_bytes(mask: Tensor) -> Tensor:
    """A bool tensor as contiguous uint8, without a copy where it is contiguous."""
    return mask.contiguous().view(torch.uint8)


class _BoxLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, image_index, rows, columns, dilation, *edge_sets):  # type: ignore[no-untyped-def]
        logits, rows, columns = contiguous_maps(logits), as_bytes(rows), as_bytes(columns)
        edge_sets = tuple(edges.contiguous() for edges in edge_sets)
        count, _, height, width = logits.shape
        sets, block_h, block_w = len(edge_sets), 16, min(64, next_power_of_two(width))
        blocks = -(-height // block_h)
        maxima, slopes = logits.new_empty((count, height)), logits.new_empty((count, height + width))
        places = torch.empty_like(slopes, dtype=torch.int32)
        column_maxima = logits.new_empty((count, blocks, width))
        column_places = torch.empty_like(column_maxima, dtype=torch.int32)
        pairs = logits.new_empty((count, blocks, 4))
        out = logits.new_empty((1 + 2 * sets, count))
        tall, wide = next_power_of_two(height), next_power_of_two(width)
        with on_device(logits):
            forward_kernel[(blocks, count)](
                logits, edge_sets[0], edge_sets[-1], image_index, rows, columns, maxima, places, column_maxima,
                column_places, pairs, logits.stride(0), height, width, dilation, sets, block_h, block_w, num_warps=8,
            )  # fmt: skip
            finish_kernel[(count,)](
                rows, columns, maxima, column_maxima, column_places, pairs, slopes, places, out, height, width,
                blocks, count, _EPS, sets, next_power_of_two(blocks), tall, wide, num_warps=8,
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
            backward_kernel[(-(-width // block_w), -(-height // block_h), count)](
                logits, edge_sets[0], edge_sets[-1], image_index, rows, columns, slopes, places, grad_projection,
                grad_sums, total, logits.stride(0), grad_projection.stride(0), grad_sums.stride(0),
                grad_sums.stride(1), height, width, ctx.dilation, len(edge_sets), block_h, block_w, num_warps=4,
            )  # fmt: skip
        return total, None, None, None, None, *[None] * len(edge_sets)
