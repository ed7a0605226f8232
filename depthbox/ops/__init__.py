"""Tensor functions without parameters or configuration."""

from .boxes import box_extents, box_masks, integer_box_centers
from .color import rgb_to_lab
from .edges import color_similarity, depth_similarity, like_edges, neighbor_offsets, pack_edges, shift, unpack_edges
from .grid import cells_inside, depth_on_grid
from .resize import aligned_upsample

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
    "rgb_to_lab",
    "shift",
    "unpack_edges",
]
