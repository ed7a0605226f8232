"""Affinity loss: cells of one instance must have a high affinity, cells of different ones a low affinity (P2Seg)."""

from __future__ import annotations

from torch import Tensor

from ..ops.affinity import CellSegments, propagate_and_compare, segments_from_masks


def affinity_loss(
    features: Tensor,
    segments: CellSegments | Tensor,
    *,
    scale: float = 1.0,
    background: str = "ignore",
    rows: int = 512,
    triton: bool = True,
) -> Tensor:
    """Compute the affinity loss of one image (P2Seg; I2S).

    With A = sigmoid(scale F^T F) and Y_ij = 1 if a segment contains the cells i and j, the loss is
    1/2 sum_{Y=1} (1 - A) / (#{Y=1} + 1) + 1/2 sum_{Y=0} A / (#{Y=0} + 1). The pairs include i = j.
    The loss of a batch is the mean over its images.

    Args:
        features: (D, n) float of the image's n cells.
        segments: segments of the cells, or (M, n) bool with one mask per segment.
        scale: factor of the inner products.
        background: "ignore" leaves pairs out if neither cell belongs to a segment, "negative" counts them as Y = 0.
        rows: side of the tiles of A that are computed together on a large grid.
        triton: use Triton kernels if available; the results are equal.

    Returns:
        0-dim in [0, 1), float32 or wider; 0 if no cell belongs to a segment.

    Raises:
        ValueError: the shapes do not match, or ``background`` is not supported.

    Example:
        >>> import torch
        >>> masks = torch.tensor([[True, True, False], [False, False, True]])
        >>> features = torch.tensor([[9.0, 9.0, -9.0]])
        >>> round(float(affinity_loss(features, masks)), 4), round(float(affinity_loss(-0 * features, masks)), 4)
        (0.0, 0.4083)
    """
    if isinstance(segments, Tensor):
        segments = segments_from_masks(segments)
    result = propagate_and_compare(
        features, None, [segments], scale=scale, background=background, rows=rows, triton=triton
    )
    return affinity_losses(result.pair_means)[0]


def affinity_losses(pair_means: Tensor) -> Tensor:
    """Combine the pair means of ``ops.affinity.propagate_and_compare`` to losses.

    Args:
        pair_means: (L, 2) float, means of 1 - A over the positive pairs and of A over the negative pairs.

    Returns:
        (L,) in [0, 1), the affinity loss of each set of segments.
    """
    return 0.5 * pair_means.sum(1)
