"""Tensor functions without parameters or configuration."""

from .color import rgb_to_lab
from .edges import color_similarity, depth_similarity, neighbor_offsets, pack_edges, shift, similar_edges, unpack_edges
from .grid import box_extents, box_masks, cells_inside, depth_on_grid, integer_box_centers, paired_iou
from .resize import aligned_upsample, sample_grid

like_edges = similar_edges  # the earlier name

__all__ = [
    "aligned_upsample",
    "box_extents",
    "box_masks",
    "cells_inside",
    "color_similarity",
    "depth_on_grid",
    "depth_similarity",
    "integer_box_centers",
    "like_edges",
    "neighbor_offsets",
    "pack_edges",
    "paired_iou",
    "rgb_to_lab",
    "sample_grid",
    "shift",
    "similar_edges",
    "unpack_edges",
]
