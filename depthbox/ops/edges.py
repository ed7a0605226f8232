"""Similarity of neighboring pixels, and the packed edges between similar pairs.

The neighbors of a pixel are the cells of a ``size x size`` kernel with ``dilation``, in row-major order without the
center: 8 for the usual 3x3 kernel. A *directed edge* leads from a pixel to one of its neighbors.
"""

from __future__ import annotations

from types import EllipsisType

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_NEIGHBORS = 24  # of a pixel, so that its edges fit into an int32: a 5x5 kernel

PixelIndex = tuple[EllipsisType, slice, slice]


def neighbor_offsets(size: int = 3, dilation: int = 2) -> list[tuple[int, int]]:
    """List the offsets (dy, dx) of the neighbors of a pixel in row-major order, without the center.

    Neighbor k and neighbor size * size - 2 - k lie opposite each other.

    Args:
        size: side of the kernel, odd.
        dilation: distance of adjacent kernel cells in pixels.

    Raises:
        ValueError: the size is even or below 3, or the dilation is below 1.

    Example:
        >>> neighbor_offsets(size=3, dilation=1)
        [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
    """
    if size < 3 or size % 2 == 0 or dilation < 1:
        raise ValueError(f"size must be odd and >= 3, dilation >= 1; got size {size}, dilation {dilation}")
    steps = [dilation * (i - size // 2) for i in range(size)]
    return [(dy, dx) for dy in steps for dx in steps if (dy, dx) != (0, 0)]


def shift(x: Tensor, dy: int, dx: int) -> Tensor:
    """Return for each pixel of (..., H, W) the value at (y + dy, x + dx), or 0 if that is outside the map."""
    height, width = x.shape[-2:]
    if abs(dy) >= height or abs(dx) >= width:
        return torch.zeros_like(x)
    inside = x[..., max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
    return F.pad(inside, (max(-dx, 0), max(dx, 0), max(-dy, 0), max(dy, 0)))


def pair_slices(height: int, width: int, dy: int, dx: int) -> tuple[PixelIndex, PixelIndex]:
    """Return the indices of all pixels that have a neighbor at the offset (dy, dx), and of these neighbors.

    Args:
        height, width: size of the map.
        dy: row offset, >= 0.
        dx: column offset.

    Returns:
        Two indices into (..., height, width) that select equal shapes, empty if the offset exceeds the map.
    """
    dy, left, right = min(dy, height), min(max(-dx, 0), width), min(max(dx, 0), width)
    here = (..., slice(0, height - dy), slice(left, max(width - right, left)))
    there = (..., slice(dy, height), slice(right, max(width - left, right)))
    return here, there


def color_similarity(lab: Tensor, valid: Tensor, size: int = 3, dilation: int = 2) -> Tensor:
    """Compute the color similarity of each pixel i and each neighbor j, exp(-||LAB_i - LAB_j|| / 2) (BoxInst).

    Args:
        lab: (B, 3, H, W) float, CIE LAB (see ``rgb_to_lab``).
        valid: (B, H, W) bool or float in {0, 1}; 0 excludes a pixel as a neighbor (padding, removed rows).
        size, dilation: kernel of neighbors, see ``neighbor_offsets``.

    Returns:
        (B, size * size - 1, H, W) of the dtype of ``lab``, in [0, 1]; 0 for neighbors outside the map or not valid.

    Raises:
        ValueError: the shapes do not match, or the kernel is not supported.

    Example:
        >>> import torch
        >>> lab = torch.tensor([50.0, 50.0, 0.0]).expand(1, 3, 1, 3)  # one row of three gray values
        >>> similarity = color_similarity(lab, valid=torch.ones(1, 1, 3), size=3, dilation=1)
        >>> (similarity[0, 4, 0] > 0.3).tolist()  # neighbor 4 is the right one
        [True, False, False]
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
    """Compute the depth similarity of each pixel i and each neighbor j, S_d = exp(-scale |d_i - d_j|) (eq. 3).

    Args:
        depth: (B, 1, H, W) float, inverse depth in [0, 1].
        valid: (B, H, W) bool or float in {0, 1}; 0 excludes a pixel as a neighbor (padding, removed rows).
        size, dilation: kernel of neighbors, see ``neighbor_offsets``.
        scale: factor kappa of the depth difference, positive; 1 in the paper.

    Returns:
        (B, size * size - 1, H, W) of the dtype of ``depth``, in [0, 1]; 0 for neighbors outside the map or not valid.

    Raises:
        ValueError: the scale is not positive, the shapes do not match, or the kernel is not supported.

    Example:
        >>> import torch
        >>> depth = torch.tensor([[[[0.2, 0.2, 0.9]]]])
        >>> similarity = depth_similarity(depth, valid=torch.ones(1, 1, 3), size=3, dilation=1, scale=10.0)
        >>> (similarity[0, 4, 0] > 0.5).tolist()  # neighbor 4 is the right one
        [True, False, False]
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
    """Pack directed edges into one integer per pixel: bit k is the edge to neighbor k.

    Args:
        similar: (B, K, H, W) bool, K <= 24 neighbors.

    Returns:
        (B, H, W), uint8 for K <= 8 and int32 above.

    Raises:
        ValueError: K is above 24.

    Example:
        >>> import torch
        >>> similar = torch.zeros(1, 8, 1, 2, dtype=torch.bool)
        >>> similar[0, 4, 0, 0] = similar[0, 3, 0, 1] = True  # right neighbor of the first, left one of the second
        >>> pack_edges(similar).tolist()
        [[[16, 8]]]
    """
    count = similar.shape[1]
    dtype = _packed_dtype(count)
    packed = torch.zeros_like(similar[:, 0], dtype=dtype)
    for bit in range(count):
        packed |= similar[:, bit].to(dtype) << bit
    return packed


def unpack_edges(packed: Tensor, count: int = 8) -> Tensor:
    """Unpack the result of ``pack_edges``.

    Args:
        packed: (B, H, W) uint8 or int32.
        count: number of neighbors K.

    Returns:
        (B, K, H, W) bool.

    Example:
        >>> import torch
        >>> unpack_edges(torch.tensor([[[16, 8]]], dtype=torch.uint8))[0, 3:5, 0].tolist()
        [[False, True], [True, False]]
    """
    return torch.stack([(packed >> bit) & 1 for bit in range(count)], dim=1).bool()


def similar_edges(
    values: Tensor, valid: Tensor, limit: float, size: int = 3, dilation: int = 2, *, inclusive: bool = True
) -> Tensor:
    """Compute the packed edges from each pixel to its valid neighbors within a distance of ``limit``.

    The result equals ``pack_edges`` of a thresholded similarity, S >= t with limit = -2 ln(t) for ``color_similarity``
    and limit = -ln(t) / scale for ``depth_similarity``. Each pair is compared once, without exponential or root.

    Args:
        values: (B, C, H, W) float; the distance is Euclidean over C.
        valid: (B, H, W) bool; False excludes a pixel as a neighbor.
        limit: largest distance of a similar pair, >= 0; infinity accepts all pairs.
        size, dilation: kernel of neighbors, see ``neighbor_offsets``.
        inclusive: accept a distance of exactly ``limit``.

    Returns:
        (B, H, W) integers as from ``pack_edges``; no edge leads outside the map.

    Raises:
        ValueError: the limit is negative, the kernel is not supported, or the shapes do not match.
    """
    _check_valid(values, valid)
    if limit < 0:
        raise ValueError(f"the largest distance must be >= 0, got {limit}: thresholds of similarity are at most 1")
    offsets = neighbor_offsets(size, dilation)
    packed = torch.zeros_like(valid, dtype=_packed_dtype(len(offsets)))
    reached = valid.to(packed.dtype)
    for k in range(len(offsets) // 2, len(offsets)):
        here, there = pair_slices(values.shape[-2], values.shape[-1], *offsets[k])
        squares = (values[here] - values[there]).square_().sum(1)
        similar = (squares <= limit * limit if inclusive else squares < limit * limit).to(packed.dtype)
        packed[here] |= (similar & reached[there]) << k
        packed[there] |= (similar & reached[here]) << (len(offsets) - 1 - k)
    return packed


def _packed_dtype(count: int) -> torch.dtype:
    if count > MAX_NEIGHBORS:
        raise ValueError(f"at most {MAX_NEIGHBORS} neighbors can be packed, got {count}")
    return torch.uint8 if count <= 8 else torch.int32


def _check_valid(values: Tensor, valid: Tensor) -> None:
    if valid.shape != (values.shape[0], *values.shape[2:]):
        raise ValueError(f"valid must be (B, H, W) of {tuple(values.shape)}, got {tuple(valid.shape)}")
