"""Projection and pairwise losses of each instance in one forward and one backward pass (BoxInst; eq. 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..ops.triton.support import is_available
from .crops import box_crops, pairwise_in_crop
from .dice import dice_loss
from .pairwise import pairwise_losses, widen
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
    """Compute ``projection_loss_from_logits`` and ``pairwise_losses`` of the same masks.

    On the CPU one function computes both, and saves the indices of the maxima and the gradient of the pairs inside each
    box for the backward pass. On a GPU it uses Triton kernels, or both functions if the kernels are not available.

    Args:
        logits: (N, 1, H, W) float, before the sigmoid; half precision is converted to float32.
        edge_sets: E tensors (B, H, W) of packed directed edges (see ``ops.pack_edges``).
        image_index: (N,) int64 in 0..B-1, image of each instance.
        rows, columns: (N, H) and (N, W) bool, the rows and columns of each box (see ``ops.box_extents``).
        size, dilation: kernel of neighbors of the edges.
        triton: use Triton kernels if available; the results are equal.

    Returns:
        projection (N,) in [0, 2] and sums (E, N), both differentiable, and counts (E, N) of directed pairs;
        of the dtype of the logits, at least float32.

    Raises:
        ValueError: the kernel of neighbors is not supported.
    """
    logits = widen(logits)
    if triton and is_available(logits.device):
        from ..ops.triton import box as triton_box

        if triton_box.fits(logits, edge_sets, size):
            return triton_box.box_losses(logits, edge_sets, image_index, rows, columns, dilation)
    if logits.device.type != "cpu" or logits.numel() == 0:
        sums, counts = pairwise_losses(logits, edge_sets, image_index, rows, columns, size, dilation)
        return projection_loss_from_logits(logits, rows, columns), sums, counts
    row_maxima, column_maxima, sums, counts = _MaximaAndPairs.apply(
        logits, torch.stack(list(edge_sets)), image_index, rows, columns, size, dilation
    )
    projection = dice_loss(row_maxima.sigmoid(), rows.to(logits.dtype))
    return projection + dice_loss(column_maxima.sigmoid(), columns.to(logits.dtype)), sums, counts


class _MaximaAndPairs(torch.autograd.Function):
    """Maxima of each row (N, H) and column (N, W) of the maps, and sums (E, N) and counts (E, N) of pairs."""

    @staticmethod
    def forward(ctx, logits, edges, image_index, rows, columns, size, dilation):  # type: ignore[no-untyped-def]
        values = logits[:, 0]
        row_maxima, row_places = values.max(dim=2)
        column_maxima, column_places = values.max(dim=1)
        sums, counts = logits.new_zeros((2, len(edges), len(values)))
        ctx.crops, gradients = box_crops(rows, columns, dilation * (size // 2)), [logits.new_empty(0)]
        images = image_index.tolist()
        for crop in ctx.crops:
            n, y, x = crop.index
            losses = pairwise_in_crop(values[n, y, x], edges[:, images[n], y, x], crop.box, size, dilation)
            sums[:, n], counts[:, n] = losses.sums, losses.counts
            gradients.append(losses.gradients.flatten())
        ctx.shape = logits.shape
        ctx.save_for_backward(row_places.int(), column_places.int(), torch.cat(gradients))
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
            part = values[crop.index]
            size = len(grad_sums) * part.numel()
            pieces = gradients[start : start + size].view(len(grad_sums), *part.shape)
            part += (pieces * grad_sums[:, crop.instance, None, None]).sum(0)
            start += size
        return total, None, None, None, None, None, None
