"""First labels of P2Seg: components of the class map are divided among the points inside them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from .grouping import Candidates, find_candidates, nearest_owners

ONE_POINT_TARGETS = ("point", "centroid")


@dataclass(frozen=True)
class OwnerLabels:
    """Owner of each pixel and target of each object.

    Attributes:
        owner: (H, W) int64, number of the object (index + 1), 0 = no target.
        targets: (N, 2) float32, pixel (x, y) at which the pixels of each object aim; not finite for objects without a
            point.
    """

    owner: Tensor
    targets: Tensor


def initial_labels(
    class_map: Tensor,
    points: Tensor,
    classes: Tensor,
    *,
    min_area: int = 50,
    one_point_target: str = "point",
    regions: Tensor | None = None,
    mask_owner: Tensor | None = None,
) -> OwnerLabels:
    """Divide the components of the class map among their points (P2Seg; first labels from S and the points).

    For each class c, the 8-connected components of {S = c + 1} with at least ``min_area`` pixels and a point of class c
    are owned: each pixel by the nearest point of class c inside the component, the first of equally near ones.

    Args:
        class_map: (H, W) integers: 0 background, class + 1, 255 unknown. It is processed on the CPU.
        points: (N, 2) float, (x, y) in pixels; NaN for none. The pixel of a point is (floor x, floor y).
        classes: (N,) int64 from 0 on.
        min_area: smallest number of pixels of a component.
        one_point_target: target of an object whose component has no other point: its "point", or the "centroid" of the
            component, rounded down, as in the released code.
        regions: (N, 4) float xyxy, the box outside which no pixel belongs to the object.
        mask_owner: (H, W) integers, number of the object whose true mask contains the pixel, 0 = none. Such pixels keep
            their owner, and such objects get no other pixel.

    Returns:
        Owners and targets on the device of the class map.

    Raises:
        ValueError: ``one_point_target`` is not supported.
    """
    if one_point_target not in ONE_POINT_TARGETS:
        raise ValueError(f'one_point_target must be "point" or "centroid", got {one_point_target!r}')
    device, (height, width) = class_map.device, class_map.shape
    mask_owner = None if mask_owner is None else mask_owner.cpu().long()
    candidates = find_candidates(points.cpu(), (height, width), None if regions is None else regions.cpu(), mask_owner)
    owner = torch.zeros((height, width), dtype=torch.long)
    targets = points.detach().cpu().float().floor()
    of_candidates, values = classes.cpu()[candidates.index], class_map.cpu().numpy()
    for c in of_candidates.unique().tolist():
        components = _find_components(values == c + 1, candidates[of_candidates == c], min_area)
        owner += components.divide()
        if one_point_target == "centroid":
            alone = components.alone
            targets[components.candidates.index[alone]] = components.centroids[components.at_points[alone]].floor()
    if regions is not None:
        owner = torch.where(_inside_own(owner, regions), owner, 0)
    if mask_owner is not None:
        owner = torch.where(mask_owner > 0, mask_owner, owner)
        targets = _fill_targets(targets, owner)
    return OwnerLabels(owner.to(device), targets.to(device))


@dataclass(frozen=True)
class _Components:
    """Components of the mask of one class, and the points in those that are large enough.

    Attributes:
        numbers: (H, W) int64, component of each pixel, 0 outside the mask.
        centroids: (count, 2) float32, (x, y) of each component.
        candidates: M points.
        at_points: (M,) int64, component of each point.
        alone: (M,) bool, True if the component has no other point.
    """

    numbers: Tensor
    centroids: Tensor
    candidates: Candidates
    at_points: Tensor
    alone: Tensor

    def divide(self) -> Tensor:
        """Return the owner map (H, W) int64 of these components."""
        table = torch.zeros(len(self.centroids), dtype=torch.long)
        table[self.at_points[self.alone]] = self.candidates.index[self.alone] + 1
        owner = table[self.numbers]
        for number in self.at_points[~self.alone].unique().tolist():
            rows, columns = (self.numbers == number).nonzero(as_tuple=True)
            pixels = torch.stack((columns, rows), dim=1)
            owner[rows, columns] = nearest_owners(pixels, pixels, self.candidates[self.at_points == number])
        return owner


def _find_components(mask: np.ndarray, candidates: Candidates, min_area: int) -> _Components:
    _, numbers, stats, centroids = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    component = torch.from_numpy(numbers).long()
    x, y = candidates.pixels.long().unbind(1)
    at_points = component[y, x]
    usable = torch.from_numpy(stats[:, cv2.CC_STAT_AREA] >= min_area)
    usable[0] = False  # outside the mask
    keep = usable[at_points]
    at_points, counts = at_points[keep], torch.bincount(at_points[keep], minlength=len(stats))
    centers = torch.from_numpy(centroids).float()
    return _Components(component, centers, candidates[keep], at_points, counts[at_points] == 1)


def _inside_own(owner: Tensor, regions: Tensor) -> Tensor:
    """Return (H, W) bool, True if a part of the pixel lies in the region of its owner."""
    own = torch.cat((regions.new_zeros(1, 4), regions))[owner]
    x, y = torch.arange(owner.shape[1]), torch.arange(owner.shape[0])[:, None]
    across = (x + 1 > own[..., 0]) & (x < own[..., 2])
    return across & (y + 1 > own[..., 1]) & (y < own[..., 3])


def _fill_targets(targets: Tensor, owner: Tensor) -> Tensor:
    """Replace the missing points of objects that own pixels by the centroid of these pixels, rounded down."""
    for i in (~targets.isfinite().all(1)).nonzero()[:, 0].tolist():
        rows, columns = (owner == i + 1).nonzero(as_tuple=True)
        if len(rows):
            targets[i] = torch.stack((columns.double().mean(), rows.double().mean())).floor().float()
    return targets
