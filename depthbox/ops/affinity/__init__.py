"""Affinity of all pairs of cells of a grid, and the segments that it is compared with (P2Seg; I2S)."""

from .plain import AffinityResult, affinity_matrix, saturated_share
from .segments import CellSegments, segments_at_stride, segments_from_masks
from .step import propagate, propagate_and_compare

__all__ = [
    "AffinityResult",
    "CellSegments",
    "affinity_matrix",
    "propagate",
    "propagate_and_compare",
    "saturated_share",
    "segments_at_stride",
    "segments_from_masks",
]
