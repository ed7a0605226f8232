"""Losses of P2Seg that need numbers of the whole batch, and the record of all losses of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...losses.center import center_loss, center_map
from ...losses.hard_pixels import UNKNOWN, find_threshold, pixel_cross_entropy, selected_count, sum_hard
from ..distributed import sum_over_processes, world_size
from ..points.class_map import GridOutputs, PointLabels, compact_labels, compact_probabilities, upsample_grid
from .base import global_mean

SEG, OFFSET, AFFINITY, DIRECT, CENTER = "loss_seg", "loss_offset", "loss_affinity", "loss_seg_direct", "loss_center"


@dataclass(frozen=True)
class PointLosses:
    """Losses of one step, weighted: 0-dim tensors whose sum is the total (P2Seg; section 2.5 of the supplement).

    Attributes:
        seg: cross entropy of the hardest pixels, on the propagated class map.
        offset_initial, offset_refined: halves of the offset loss, against the first labels and those of S2I.
        affinity_initial, affinity_refined: halves of the affinity loss, for the segments of both label sets.
        direct: mean cross entropy of the class map before its propagation; None if its weight is 0.
        center: squared error of the center map; None without center head.
        owned: 0-dim, share of the pixels of an object's class that have an owner by S2I; NaN without such pixels.
    """

    seg: Tensor
    offset_initial: Tensor
    offset_refined: Tensor
    affinity_initial: Tensor
    affinity_refined: Tensor
    direct: Tensor | None
    center: Tensor | None
    owned: Tensor

    def statistics(self) -> dict[str, Tensor | float]:
        """Return the statistics of a training step by their names in the event storage."""
        parts = {
            "offset_initial": self.offset_initial,
            "offset_refined": self.offset_refined,
            "affinity_initial": self.affinity_initial,
            "affinity_refined": self.affinity_refined,
        }
        raw = {f"raw/{name}": loss.detach().float() for name, loss in parts.items()}
        return {**raw, "health/owned_pixels": self.owned}

    def by_name(self) -> dict[str, Tensor]:
        """Return the losses by the names under which they are logged."""
        losses = {
            SEG: self.seg,
            OFFSET: self.offset_initial + self.offset_refined,
            AFFINITY: self.affinity_initial + self.affinity_refined,
        }
        optional = {DIRECT: self.direct, CENTER: self.center}
        return losses | {name: loss for name, loss in optional.items() if loss is not None}


def hardest_loss(values: Tensor, share: float) -> Tensor:
    """Compute the mean of the largest values of all processes (P2Seg; L_seg).

    Args:
        values: (P,) float >= 0, losses of the pixels of this process.
        share: share of the pixels of all processes that is selected.

    Returns:
        0-dim; the mean of the results of all processes is the loss.
    """
    if world_size() == 1:
        count = selected_count(len(values), share)
        return sum_hard(values, find_threshold(values.detach(), count)) / count
    pixels = int(sum_over_processes(torch.tensor(len(values), device=values.device)))
    count = selected_count(pixels, share)
    threshold = find_threshold(values.detach().float(), count, sum_over_processes)
    return sum_hard(values, threshold) / count * world_size()


def direct_loss(images: Sequence[GridOutputs], labels: Sequence[PointLabels]) -> Tensor:
    """Compute the mean cross entropy of the pixels of known class, before the propagation; 0-dim.

    Args:
        images: outputs of the heads for each image.
        labels: class map and points of each image.
    """
    sums, counts = [], []
    for image, label in zip(images, labels, strict=True):
        maps = upsample_grid(compact_probabilities(image.class_logits, label.classes), image.size)
        class_map = compact_labels(label.class_map, label.classes)
        sums.append(pixel_cross_entropy(maps[None], class_map[None]).sum())
        counts.append((class_map != UNKNOWN).sum().to(maps.dtype))
    return global_mean(torch.stack(sums), torch.stack(counts))


def center_map_loss(images: Sequence[GridOutputs], labels: Sequence[PointLabels], sigma: float) -> Tensor:
    """Compute the squared error of the center maps, summed over classes, per pixel; 0-dim.

    Args:
        images: outputs of the heads for each image, with ``centers``.
        labels: points of each image.
        sigma: standard deviation of the bump at each point, pixels.
    """
    sums, counts = [], []
    for image, label in zip(images, labels, strict=True):
        assert image.centers is not None
        maps = upsample_grid(image.centers, image.size)[None]
        bumps = center_map(label.points, label.classes, maps.shape[1], image.size, sigma)[None]
        weight = torch.ones_like(bumps[:, 0])
        sums.append(center_loss(maps, bumps, weight) * weight.numel())
        counts.append(weight.sum())
    return global_mean(torch.stack(sums), torch.stack(counts))
