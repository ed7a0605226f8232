"""Affinity of all pairs of cells of an image: propagation of values and comparison with segments (P2Seg; I2S)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..precision import full_precision, without_autocast
from ..triton.support import is_available
from .blocked import run_blocked
from .plain import AffinityResult, run_plain
from .plan import make_plan
from .segments import CellSegments

BACKGROUND_PAIRS = ("ignore", "negative")


def propagate(
    features: Tensor, values: Tensor, *, scale: float = 1.0, power: float = 1.0, rows: int = 512, triton: bool = True
) -> Tensor:
    """Propagate values between cells of high affinity, P'_cj = sum_i A_ji^beta P_ci / sum_i A_ji^beta (P2Seg; I2S).

    Args:
        features: (D, n) float, features of the affinity A = sigmoid(scale F^T F).
        values: (C, n) float, for example class probabilities.
        scale: factor of the inner products.
        power: Hadamard power beta of the affinity.
        rows: side of the square tiles of A that are computed together. A grid of at most that many cells is computed
            by the plain formula.
        triton: use Triton kernels if available; the results are equal.

    Returns:
        (C, n), float32 or wider, also under autocast. Columns of sum 1 keep their sum.

    Raises:
        ValueError: the shapes do not match, or the power is not positive.

    Example:
        >>> import torch
        >>> features = torch.tensor([[9.0, 9.0, -9.0]])  # cells 0 and 1 are similar
        >>> propagate(features, torch.tensor([[1.0, 0.0, 0.0]])).round(decimals=4).tolist()
        [[0.5, 0.5, 0.0]]
    """
    return propagate_and_compare(features, values, (), scale=scale, power=power, rows=rows, triton=triton).propagated


def propagate_and_compare(
    features: Tensor,
    values: Tensor | None,
    segment_sets: Sequence[CellSegments],
    *,
    scale: float = 1.0,
    power: float = 1.0,
    background: str = "ignore",
    rows: int = 512,
    triton: bool = True,
) -> AffinityResult:
    """Propagate values and compare the affinity with sets of segments in one pass over the pairs of cells.

    A pair is positive (Y = 1) if a segment contains both cells, otherwise negative (Y = 0). On grids of more than
    ``rows`` cells, the time grows with n^2 and the memory with n. The gradients are exact and cannot be differentiated
    again.

    Args:
        features: (D, n) float, features of the affinity A = sigmoid(scale F^T F).
        values: (C, n) float, see ``propagate``; None for no propagation.
        segment_sets: L sets of segments of the n cells.
        scale, power, rows: as in ``propagate``; the power does not apply to the comparison.
        triton: use Triton kernels if available; the results are equal.
        background: "ignore" leaves pairs out if neither cell belongs to a segment, "negative" counts them as negative.

    Returns:
        Record with propagated (C, n) and pair_means (L, 2). A set without an owned cell has the means 0.

    Raises:
        ValueError: the shapes do not match, or an option is not supported.
    """
    _check(features, values, segment_sets, power, background, rows)
    with without_autocast(features.device):
        features = full_precision(features)
        values = features.new_zeros((0, features.shape[1])) if values is None else values.to(features.dtype)
        if triton and is_available(features.device):
            from ..triton import affinity as triton_affinity

            members = [segments.members for segments in segment_sets]
            if triton_affinity.fits(features, values, members):
                negative = tuple(background == "negative" and s.any_owned() for s in segment_sets)
                options = triton_affinity.AffinityOptions(scale, power, negative)
                return AffinityResult(*triton_affinity.propagate_and_compare(features, values, members, options))
        if features.shape[1] > rows:
            plan = make_plan(segment_sets, features, scale=scale, power=power, background=background, rows=rows)
            return run_blocked(features, values, plan)
        return run_plain(features, values, segment_sets, scale=scale, power=power, background=background)


def _check(
    features: Tensor,
    values: Tensor | None,
    segment_sets: Sequence[CellSegments],
    power: float,
    background: str,
    rows: int,
) -> None:
    if features.dim() != 2:
        raise ValueError(f"features must have the shape (D, n), got {tuple(features.shape)}")
    cells = features.shape[1]
    if values is not None and (values.dim() != 2 or values.shape[1] != cells):
        raise ValueError(f"values must have the shape (C, {cells}), got {tuple(values.shape)}")
    for segments in segment_sets:
        if len(segments) != cells:
            raise ValueError(f"segments of {len(segments)} cells do not match features of {cells} cells")
    if rows < 1:
        raise ValueError(f"the number of rows of a tile must be at least 1, got {rows}")
    if power <= 0:
        raise ValueError(f"the power of the affinity must be positive, got {power}")
    if background not in BACKGROUND_PAIRS:
        raise ValueError(f'background must be "ignore" or "negative", got {background!r}')
