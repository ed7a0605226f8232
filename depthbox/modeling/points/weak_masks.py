"""Masks of objects that own no pixel of the class map, from pixels about as probable as that of their point."""

from __future__ import annotations

import cv2
import torch
from torch import Tensor

from .grouping import refine_owners

LEAST = 0.005  # probability of the class at a point below which it has no mask


def add_weak_masks(
    owner: Tensor,
    probabilities: Tensor,
    offsets: Tensor,
    points: Tensor,
    channels: Tensor,
    share: float,
    regions: Tensor | None = None,
) -> Tensor:
    """Give objects without a pixel the pixels around their point that are about as probable as the point's.

    Not in the paper. A faint object is background by the largest probability, although its class stands out there. Its
    mask is the connected component of its point in the pixels without an owner whose nearest point it is after the
    offset, and whose probability of the class is above ``share`` times that at the point.

    Args:
        owner: (H, W) int64, number of the object (index + 1), 0 = none.
        probabilities: (C, H, W) float, background first.
        offsets: (2, H, W) float, (dy, dx) in pixels.
        points: (N, 2) float, (x, y) in pixels.
        channels: (N,) int64, channel of the class of each object.
        share: in (0, 1].
        regions: (N, 4) float xyxy, box outside which no pixel belongs to the object.

    Returns:
        (H, W) int64, equal to ``owner`` where it is not 0.
    """
    height, width = owner.shape
    owned = torch.bincount(owner.flatten(), minlength=len(points) + 1)[1:] > 0
    pixels = points.double().floor()
    inside = ((pixels >= 0) & (pixels < pixels.new_tensor((width, height)))).all(1)
    weak = (~owned & inside).nonzero().flatten()
    if not len(weak):
        return owner
    x, y = pixels[weak].long().unbind(1)
    levels = share * probabilities[channels[weak], y, x]
    result = owner.clone()
    for channel in channels[weak].unique().tolist():
        of_class = channels[weak] == channel
        candidates = (probabilities[channel] > levels[of_class].min()) & (owner == 0)
        nearest = refine_owners(candidates.long() * channel, offsets, points, channels - 1, regions)
        for index, level in zip(weak[of_class].tolist(), levels[of_class].tolist(), strict=True):
            if level < share * LEAST:
                continue
            part = (nearest == index + 1) & (probabilities[channel] > level)
            result[_component(part, pixels[index])] = index + 1
    return result


def _component(mask: Tensor, point: Tensor) -> Tensor:
    """Return the 8-connected component (H, W) bool of a mask that contains a pixel (x, y); empty without one."""
    column, row = (int(value) for value in point.tolist())
    if not mask[row, column]:
        return torch.zeros_like(mask)
    _, numbers = cv2.connectedComponents(mask.cpu().numpy().astype("uint8"), connectivity=8)
    return torch.from_numpy(numbers == numbers[row, column]).to(mask.device)
