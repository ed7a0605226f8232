"""All losses of a mask that its box gives, in one pass forward and one backward (BoxInst; eq. 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..ops.triton.support import is_available
from .crops import box_crops, pairwise_in_crop
from .dice import dice_loss
from .pairwise import pairwise_losses
from .projection import projection_loss_from_logits


def box_losses(
    logits: Tensor,
    edge_sets: Sequence[Tensor],
    image_index: Tensor,
    rows: Tensor,
    columns: Tensor,
    size: int = 3,
    dilation: int = 2,
    triton: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """``projection_loss_from_logits`` and ``pairwise_losses`` of the same masks.

    On the CPU both are one function, which keeps for the backward pass the positions of the maxima and the gradient of
    the pairs in each box; elsewhere they are called one after the other, unless Triton kernels run there.

    Args:
        logits: (N, 1, H, W), before the sigmoid, float32 or float64.
        edge_sets: E tensors (B, H, W) of packed directed edges (``ops.pack_edges``).
        image_index: (N,) int64, image of each row.
        rows, columns: (N, H) and (N, W) bool, the box of each row (``ops.box_extents``).
        size, dilation: the kernel that the edges were made with.
        triton: use Triton kernels where they run; the results are equal.

    Returns:
        projection (N,), sums (E, N), both differentiable, and counts (E, N) of directed pairs.
    """
    if triton and is_available(logits.device):
        from ..ops.triton import box as triton_box

        if triton_box.fits(logits, edge_sets, size):
            return triton_box.box_losses(logits, edge_sets, image_index, rows, columns, dilation)
    if logits.device.type != "cpu" or logits.numel() == 0:
        sums, counts = pairwise_losses(logits, edge_sets, image_index, rows, columns, size, dilation)
        return projection_loss_from_logits(logits, rows, columns), sums, counts
    row_maxima, column_maxima, sums, counts = _BoxLosses.apply(
        logits, torch.stack(list(edge_sets)), image_index, rows, columns, size, dilation
    )
    projection = dice_loss(row_maxima.sigmoid(), rows.to(logits.dtype))
    return projection + dice_loss(column_maxima.sigmoid(), columns.to(logits.dtype)), sums, counts


class _BoxLosses(torch.autograd.Function):
    """Maxima of each row and column of the map, and the pairwise sums."""

    @staticmethod
    def forward(ctx, logits, edges, image_index, rows, columns, size, dilation):  # type: ignore[no-untyped-def]
        values = logits[:, 0]
        row_maxima, row_places = values.max(dim=2)
        column_maxima, column_places = values.max(dim=1)
        sums, counts = logits.new_zeros((2, len(edges), len(values)))
        ctx.crops, gradients = box_crops(rows, columns, dilation * (size // 2)), []
        images = image_index.tolist()
        for crop in ctx.crops:
            n, y, x = crop.where
            result = pairwise_in_crop(values[n, y, x], edges[:, images[n], y, x], crop.box, size, dilation)
            sums[:, n], counts[:, n] = result[0], result[1]
            gradients.append(result[2].flatten())
        ctx.shape = logits.shape
        ctx.save_for_backward(
            row_places.int(), column_places.int(), torch.cat(gradients) if gradients else logits.new_empty(0)
        )
        ctx.mark_non_differentiable(counts)
        return row_maxima, column_maxima, sums, counts

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_rows, grad_columns, grad_sums, _grad_counts):  # type: ignore[no-untyped-def]
        row_places, column_places, gradients = ctx.saved_tensors
        total = grad_rows.new_zeros(ctx.shape)
        values = total[:, 0]
        values.scatter_(2, row_places.long()[:, :, None], grad_rows[:, :, None])
        values.scatter_add_(1, column_places.long()[:, None], grad_columns[:, None])
        start = 0
        for crop in ctx.crops:
            part = values[crop.where]
            size = len(grad_sums) * part.numel()
            pieces = gradients[start : start + size].view(len(grad_sums), *part.shape)
            part += (pieces * grad_sums[:, crop.row, None, None]).sum(0)
            start += size
        return total, None, None, None, None, None, None
