"""Grouping of pixels by point: the nearest point of the pixel's class, after the offset (P2Seg; S2I).

The pixel of a point is (floor x, floor y). An owner map contains the number of the object, its index + 1; 0 is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.spatial import cKDTree
from torch import Tensor

_BLOCK = 2**22  # distances that are computed together
_TREE_POINTS = 128  # of a class, from which on a tree is faster than all distances on the CPU
_NEIGHBORS = 4  # that are asked from the tree


def present_probabilities(logits: Tensor, classes: Tensor) -> Tensor:
    """Compute the softmax over background and present classes; absent classes get the probability 0 (P2Seg; I2S).

    Args:
        logits: (K + 1, ...) float, background first; half precision is converted to float32.
        classes: (N,) int64 in 0..K - 1, classes of the image's objects.

    Returns:
        (K + 1, ...) in [0, 1], sum 1 over the classes, float32 or wider.

    Example:
        >>> import torch
        >>> present_probabilities(torch.zeros(4), torch.tensor([2, 2])).tolist()
        [0.5, 0.0, 0.0, 0.5]
    """
    logits = logits.float() if logits.dtype.itemsize < 4 else logits
    absent = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
    absent[0] = False
    absent[classes.to(logits.device) + 1] = False
    return logits.masked_fill(absent.reshape(-1, *[1] * (logits.dim() - 1)), float("-inf")).softmax(0)


@dataclass(frozen=True)
class Candidates:
    """Points that compete for pixels.

    Attributes:
        index: (M,) int64, objects of the points.
        pixels: (M, 2) float64, (x, y) of each point's pixel.
        regions: (M, 4) float64 or None, xyxy: the box outside which no pixel belongs to the object.
    """

    index: Tensor
    pixels: Tensor
    regions: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, keep: Tensor) -> Candidates:
        regions = None if self.regions is None else self.regions[keep]
        return Candidates(self.index[keep], self.pixels[keep], regions)


def find_candidates(
    points: Tensor, size: tuple[int, int], regions: Tensor | None = None, mask_owner: Tensor | None = None
) -> Candidates:
    """Select the points that compete for pixels: inside the image, of objects without a mask.

    Args:
        points: (N, 2) float, (x, y) in pixels; NaN for none.
        size: (height, width) of the image.
        regions: (N, 4) float xyxy, the box outside which no pixel belongs to the object.
        mask_owner: (H, W) integers, number of the object whose mask contains the pixel, 0 = none.

    Returns:
        Record of M <= N points.
    """
    pixels = points.double().floor()
    limits = pixels.new_tensor([size[1], size[0]])
    keep = ((pixels >= 0) & (pixels < limits)).all(1)  # False for NaN
    if mask_owner is not None and len(points):
        counts = torch.bincount(mask_owner.flatten().long(), minlength=len(points) + 1)
        keep &= counts[1 : len(points) + 1] == 0
    index = keep.nonzero()[:, 0]
    return Candidates(index, pixels[index], None if regions is None else regions.double()[index])


def nearest_owners(targets: Tensor, pixels: Tensor, candidates: Candidates) -> Tensor:
    """Find the nearest candidate of each pixel: argmin_i |target - (x_i, y_i)|, the first of equally near ones.

    Args:
        targets: (P, 2) float, (x, y) to which each pixel points.
        pixels: (P, 2) integers, (x, y) of each pixel, for the regions.
        candidates: the competing points.

    Returns:
        (P,) int64, number of the object (index + 1); 0 if no candidate's region contains the pixel, or the target is
        not finite.
    """
    if not len(candidates):
        return torch.zeros(len(targets), dtype=torch.long, device=targets.device)
    if len(candidates) >= _TREE_POINTS and targets.device.type == "cpu" and candidates.regions is None:
        return _search_tree(targets.double(), candidates)
    return _compare_all(targets, pixels, candidates)


def _compare_all(targets: Tensor, pixels: Tensor, candidates: Candidates) -> Tensor:
    """Find the nearest candidates by all distances, in blocks of pixels."""
    owner = torch.zeros(len(targets), dtype=torch.long, device=targets.device)
    # |q - t|^2 - |q|^2: exact in float64 for whole numbers, so that ties are found
    to_points = -2 * candidates.pixels.t()
    squares = candidates.pixels.square().sum(1)
    step = max(_BLOCK // len(candidates), 1)
    for start in range(0, len(targets), step):
        part = slice(start, start + step)
        locations = targets[part].double()
        distances = torch.addmm(squares, locations, to_points)
        if candidates.regions is not None:
            distances.masked_fill_(~_inside(pixels[part], candidates.regions), float("inf"))
        best = distances.argmin(1)
        lowest = distances.gather(1, best[:, None])[:, 0]
        found = locations.isfinite().all(1) & lowest.isfinite()
        owner[part] = torch.where(found, candidates.index[best] + 1, 0)
    return owner


def _search_tree(targets: Tensor, candidates: Candidates) -> Tensor:
    """Find the nearest candidates by a tree: its nearest few, of which the first of the equally near ones is chosen."""
    owner = torch.zeros(len(targets), dtype=torch.long)
    finite = targets.isfinite().all(1).nonzero()[:, 0]
    targets = targets[finite]
    found = cKDTree(candidates.pixels.numpy()).query(targets.numpy(), k=_NEIGHBORS)[1]
    near = torch.from_numpy(found).sort(1).values  # the lower index first
    distances = (candidates.pixels[near] - targets[:, None]).square().sum(2)
    owner[finite] = candidates.index[near.gather(1, distances.argmin(1, keepdim=True))[:, 0]] + 1
    tied = distances.amin(1) == distances.amax(1)  # there may be further candidates at this distance
    owner[finite[tied]] = _compare_all(targets[tied], targets[tied], candidates)
    return owner


def refine_owners(
    class_map: Tensor,
    offsets: Tensor,
    points: Tensor,
    classes: Tensor,
    regions: Tensor | None = None,
    mask_owner: Tensor | None = None,
) -> Tensor:
    """Assign each pixel of a present class to the nearest point of its class after the offset (P2Seg; S2I).

    owner(p) = argmin over the points i of class c of |p + O(p) - (y_i, x_i)| where S(p) = c + 1, without a limit of the
    area or the distance. Points outside the map do not compete.

    Args:
        class_map: (H, W) integers: 0 background, class + 1, 255 unknown.
        offsets: (2, H, W) float, (dy, dx) in pixels of the map. A pixel whose offset is not finite gets no owner.
        points: (N, 2) float, (x, y) in pixels; NaN for none.
        classes: (N,) int64 from 0 on.
        regions: (N, 4) float xyxy, the box outside which no pixel belongs to the object.
        mask_owner: (H, W) integers, number of the object whose true mask contains the pixel, 0 = none. Such pixels keep
            their owner, and such objects get no other pixel.

    Returns:
        (H, W) int64, number of the object (index + 1), 0 = none.
    """
    height, width = class_map.shape
    classes, offsets = classes.to(class_map.device), offsets.detach()
    candidates = find_candidates(points.to(class_map.device), (height, width), _to(regions, class_map), mask_owner)
    owner = torch.zeros((height, width), dtype=torch.long, device=class_map.device)
    for c in classes[candidates.index].unique().tolist():
        rows, columns = (class_map == c + 1).nonzero(as_tuple=True)
        pixels = torch.stack((columns, rows), dim=1)
        targets = pixels + offsets[:, rows, columns].flip(0).t().double()
        owner[rows, columns] = nearest_owners(targets, pixels, candidates[classes[candidates.index] == c])
    return owner if mask_owner is None else torch.where(mask_owner > 0, mask_owner.long(), owner)


def offset_targets(owner: Tensor, targets: Tensor) -> Tensor:
    """Compute the offset from each owned pixel to the target of its owner (P2Seg; O* and O**).

    Args:
        owner: (H, W) int64, number of the object (index + 1), 0 = none.
        targets: (N, 2) float, target (x, y) of each object as a pixel index; points are rounded down.

    Returns:
        (2, H, W) float32, (dy, dx) in pixels; 0 where no object owns the pixel.
    """
    height, width = owner.shape
    targets = targets.to(owner.device, torch.float32).floor()
    goal = torch.cat((targets.new_zeros(1, 2), targets))[owner]
    rows = torch.arange(height, device=owner.device, dtype=torch.float32)
    columns = torch.arange(width, device=owner.device, dtype=torch.float32)
    offsets = torch.stack((goal[..., 1] - rows[:, None], goal[..., 0] - columns[None]))
    return torch.where(owner > 0, offsets, 0)


def _inside(pixels: Tensor, regions: Tensor) -> Tensor:
    """Return (P, M) bool, True if a part of the pixel (P, 2) lies in the region (M, 4)."""
    x, y = pixels[:, :1], pixels[:, 1:]
    across = (x + 1 > regions[:, 0]) & (x < regions[:, 2])
    return across & (y + 1 > regions[:, 1]) & (y < regions[:, 3])


def _to(values: Tensor | None, other: Tensor) -> Tensor | None:
    return None if values is None else values.to(other.device)
