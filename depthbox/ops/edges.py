"""Pairs of neighbouring pixels: how alike they are, and which count as one surface.

A pixel's neighbours are the cells of a ``size x size`` kernel with ``dilation``, in row-major order without
the centre: 8 for the usual 3x3. A *directed* edge goes from a pixel to one of its neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def neighbor_offsets(size: int = 3, dilation: int = 2) -> list[tuple[int, int]]:
    """List (dy, dx) of the neighbours of a pixel, row-major, without the centre.

    Raises:
        ValueError: the size is not odd and at least 3, or the dilation is below 1.
    """
    if size < 3 or size % 2 == 0 or dilation < 1:
        raise ValueError(f"size must be odd and >= 3, dilation >= 1; got size {size}, dilation {dilation}")
    steps = [dilation * (i - size // 2) for i in range(size)]
    return [(dy, dx) for dy in steps for dx in steps if (dy, dx) != (0, 0)]


def shift(x: Tensor, dy: int, dx: int) -> Tensor:
    """Value of the neighbour at (y + dy, x + dx) for every pixel of (..., H, W); 0 where it is outside."""
    height, width = x.shape[-2:]
    if abs(dy) >= height or abs(dx) >= width:
        return torch.zeros_like(x)
    inside = x[..., max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
    return F.pad(inside, (max(-dx, 0), max(dx, 0), max(-dy, 0), max(dy, 0)))


def color_similarity(lab: Tensor, valid: Tensor, size: int = 3, dilation: int = 2) -> Tensor:
    """Colour similarity of every pixel to its neighbours: exp(-||LAB_i - LAB_j|| / 2) (BoxInst).

    Args:
        lab: (B, 3, H, W) float, CIE LAB.
        valid: (B, H, W) bool or float, 0 where a pixel must not be a neighbour (padding, cut rows).
        size, dilation: the kernel.

    Returns:
        (B, size * size - 1, H, W) in [0, 1]; 0 where the neighbour is outside or not valid.
    """
    _check_valid(lab, valid)
    weight = valid.to(lab.dtype)
    return torch.stack(
        [
            torch.exp(-0.5 * torch.linalg.vector_norm(lab - shift(lab, dy, dx), dim=1)) * shift(weight, dy, dx)
            for dy, dx in neighbor_offsets(size, dilation)
        ],
        dim=1,
    )


def depth_similarity(depth: Tensor, valid: Tensor, size: int = 3, dilation: int = 2, scale: float = 1.0) -> Tensor:
    """Depth consistency of every pixel with its neighbours: S_d = exp(-scale |d_i - d_j|) (eq. 3).

    Args:
        depth: (B, 1, H, W) float, inverse depth in [0, 1].
        valid: (B, H, W) bool or float, 0 where a pixel must not be a neighbour (padding, cut rows).
        size, dilation: the kernel.
        scale: kappa, what a difference of 1 counts; the paper's literal reading is 1.

    Returns:
        (B, size * size - 1, H, W) in [0, 1]; 0 where the neighbour is outside or not valid.

    Raises:
        ValueError: the scale is not positive, or shapes do not fit.
    """
    _check_valid(depth, valid)
    if scale <= 0:
        raise ValueError(f"the scale of depth differences must be positive, got {scale}")
    values, weight = depth[:, 0], valid.to(depth.dtype)
    return torch.stack(
        [
            torch.exp(-scale * (values - shift(values, dy, dx)).abs()) * shift(weight, dy, dx)
            for dy, dx in neighbor_offsets(size, dilation)
        ],
        dim=1,
    )


def pack_edges(similar: Tensor) -> Tensor:
    """Pack (B, 8, H, W) bool, one bit per directed edge, into (B, H, W) uint8; bit k is neighbour k.

    Up to 24 neighbours (a 5x5 kernel) are packed into int32.
    """
    count = similar.shape[1]
    if count > 24:
        raise ValueError(f"at most 24 neighbours can be packed, got {count}")
    dtype = torch.uint8 if count <= 8 else torch.int32
    packed = torch.zeros_like(similar[:, 0], dtype=dtype)
    for bit in range(count):
        packed |= similar[:, bit].to(dtype) << bit
    return packed


def like_edges(
    values: Tensor, valid: Tensor, limit: float, size: int = 3, dilation: int = 2, *, inclusive: bool = True
) -> Tensor:
    """Packed directed edges to the valid neighbours whose distance is at most ``limit``.

    The same as packing a thresholded similarity (``color_similarity``, ``depth_similarity``), but each pair is compared
    once, without exponential or root.

    Args:
        values: (B, C, H, W) float; the distance is the Euclidean one over C.
        valid: (B, H, W) bool, False where a pixel must not be a neighbour.
        limit: largest distance; infinity takes all.
        size, dilation: the kernel.
        inclusive: whether a distance of exactly ``limit`` is alike.

    Returns:
        (B, H, W) as ``pack_edges``; no edge leaves the map.

    Raises:
        ValueError: a negative limit (a similarity above 1 is asked for), too large a kernel, shapes that do not fit.
    """
    _check_valid(values, valid)
    if limit < 0:
        raise ValueError("no two pixels are more alike than 1: thresholds of similarity are at most 1")
    offsets = neighbor_offsets(size, dilation)
    if len(offsets) > 24:
        raise ValueError(f"at most 24 neighbours can be packed, got {len(offsets)}")
    packed = torch.zeros_like(valid, dtype=torch.uint8 if len(offsets) <= 8 else torch.int32)
    reached = valid.to(packed.dtype)
    height, width = values.shape[-2:]
    for k in range(len(offsets) // 2, len(offsets)):
        dy, dx = offsets[k]  # dy >= 0
        if dy >= height or abs(dx) >= width:
            continue
        here = (..., slice(0, height - dy), slice(max(-dx, 0), width - max(dx, 0)))
        there = (..., slice(dy, height), slice(max(dx, 0), width + min(dx, 0)))
        squares = (values[here] - values[there]).square_().sum(1)
        alike = (squares <= limit * limit if inclusive else squares < limit * limit).to(packed.dtype)
        packed[here] |= (alike & reached[there]) << k
        packed[there] |= (alike & reached[here]) << (len(offsets) - 1 - k)
    return packed


def unpack_edges(packed: Tensor, count: int = 8) -> Tensor:
    """Inverse of ``pack_edges``: (B, H, W) integers to (B, count, H, W) bool."""
    return torch.stack([(packed >> bit) & 1 for bit in range(count)], dim=1).bool()


def _check_valid(values: Tensor, valid: Tensor) -> None:
    if valid.shape != (values.shape[0], *values.shape[2:]):
        raise ValueError(f"valid must be (B, H, W) of {tuple(values.shape)}, got {tuple(valid.shape)}")
