"""Supervision of P2Seg by points and a class map: offsets (S2I), affinity (I2S) and classes, each step's losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor

from ...losses.affinity import affinity_losses
from ...losses.hard_pixels import UNKNOWN, pixel_cross_entropy
from ...losses.offset import sum_offset_errors
from ...ops.affinity import propagate_and_compare, segments_at_stride
from ...ops.precision import without_autocast
from ..points.class_map import (
    GridOutputs,
    PointLabels,
    clean_class_map,
    compact_labels,
    compact_probabilities,
    split_outputs,
    upsample_grid,
)
from ..points.grouping import offset_targets, refine_owners
from ..points.heads import PointOutputs
from ..points.initial import OwnerLabels, initial_labels
from .base import global_mean
from .point_losses import PointLosses, center_map_loss, direct_loss, hardest_loss


@dataclass(frozen=True)
class _ImageTerms:
    """Terms of one image and stage, before they are divided by numbers of the whole batch."""

    pixel_losses: Tensor  # (H * W,)
    offset_sums: Tensor  # (2,), of the first labels and of S2I
    offset_counts: Tensor  # (2,)
    affinities: Tensor  # (2,)
    pixels: Tensor  # (2,), pixels of a class of the points, and those with an owner


class PointSupervision:
    """Losses of P2Seg from the outputs of its heads, a class map and points (sections 2.2 to 2.5).

    All normalizers are those of the global batch, so that n processes train like one process with all images: the
    number of pixels with a target, the threshold of the hardest pixels, and the number of images. Each process must
    have the same number of images. Computed in float32 at least, also under autocast.

    Args:
        weights: factors of the seg, offset, affinity and center losses.
        direct_weight: factor of the cross entropy of the class map before its propagation; 0 = off.
        affinity_scale, affinity_power, affinity_rows: see ``ops.affinity.propagate_and_compare``.
        s2i: refine the owners by the predicted offsets; otherwise the first labels count twice.
        i2s: propagate the class map and train the affinity.
        initial_pairs: segments of the first pair labels: "instances" or "classes" of the class map.
        background_pairs: "ignore" or "negative", see ``losses.affinity_loss``.
        one_point_target, min_area: see ``initial_labels``.
        stages: number of stages; each one propagates the class map of the one before.
        hard_share: share of the pixels in the seg loss.
        certain, seed_radius: cleaning of the class map between stages, see ``clean_class_map``.
        center_sigma: standard deviation of the bumps of the center map, pixels.
    """

    @configurable
    def __init__(
        self,
        *,
        weights: tuple[float, float, float, float] = (1.0, 0.01, 1.0, 0.0),
        direct_weight: float = 0.0,
        affinity_scale: float = 1.0,
        affinity_power: float = 1.0,
        affinity_rows: int = 512,
        s2i: bool = True,
        i2s: bool = True,
        initial_pairs: str = "instances",
        background_pairs: str = "ignore",
        one_point_target: str = "point",
        min_area: int = 50,
        stages: int = 1,
        hard_share: float = 0.2,
        certain: float = 0.7,
        seed_radius: int = 2,
        center_sigma: float = 6.0,
    ) -> None:
        self.seg_weight, self.offset_weight, self.affinity_weight, self.center_weight = weights
        self.direct_weight = direct_weight
        self.affinity_scale, self.affinity_power, self.affinity_rows = affinity_scale, affinity_power, affinity_rows
        self.s2i, self.i2s, self.initial_pairs, self.background_pairs = s2i, i2s, initial_pairs, background_pairs
        self.one_point_target, self.min_area = one_point_target, min_area
        self.stages, self.hard_share = stages, hard_share
        self.certain, self.seed_radius, self.center_sigma = certain, seed_radius, center_sigma

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read the arguments from ``MODEL.P2SEG``."""
        node = cfg.MODEL.P2SEG
        return {
            "weights": (node.SEG_WEIGHT, node.OFFSET_WEIGHT, node.AFFINITY_WEIGHT, node.CENTER_WEIGHT),
            "direct_weight": node.DIRECT_WEIGHT,
            "affinity_scale": node.AFFINITY_SCALE,
            "affinity_power": node.AFFINITY_POWER,
            "affinity_rows": node.AFFINITY_ROWS,
            "s2i": node.S2I,
            "i2s": node.I2S,
            "initial_pairs": node.INITIAL_PAIRS,
            "background_pairs": node.BACKGROUND_PAIRS,
            "one_point_target": node.ONE_POINT_TARGET,
            "min_area": node.MIN_AREA,
            "stages": node.STAGES,
            "hard_share": node.HARD_SHARE,
            "certain": node.SEMANTIC.CERTAIN,
            "seed_radius": node.SEMANTIC.SEED_RADIUS,
            "center_sigma": node.CENTER_SIGMA,
        }

    def __call__(self, outputs: PointOutputs, labels: Sequence[PointLabels]) -> PointLosses:
        """Compute the losses of a batch.

        Args:
            outputs: outputs of the heads for B images, padded.
            labels: class map and points of each image, on the device of the outputs.

        Raises:
            ValueError: the number of images differs.
        """
        with without_autocast(outputs.features.device):
            images = split_outputs(outputs, [label.class_map.shape for label in labels])
            stages: list[list[_ImageTerms]] = [[] for _ in range(self.stages)]
            for image, label in zip(images, labels, strict=True):
                for stage, terms in zip(stages, self._stages(image, label), strict=True):
                    stage.append(terms)
            losses = [self._reduce(terms) for terms in stages]
            total = torch.stack(losses).mean(0)
            counts = torch.stack([terms.pixels for stage in stages for terms in stage]).sum(0)
            direct = self.direct_weight * direct_loss(images, labels) if self.direct_weight > 0 else None
            centers = outputs.centers is not None
            center = self.center_weight * center_map_loss(images, labels, self.center_sigma) if centers else None
            seg, offset, refined_offset, affinity, refined_affinity = total.unbind()
            return PointLosses(
                seg, offset, refined_offset, affinity, refined_affinity, direct, center, owned=counts[1] / counts[0]
            )

    def _stages(self, image: GridOutputs, label: PointLabels) -> list[_ImageTerms]:
        probabilities = compact_probabilities(image.class_logits, label.classes)
        offsets = upsample_grid(image.offsets, image.size)
        stages = []
        for stage in range(self.stages):
            if stage:
                maps = upsample_grid(probabilities.detach(), image.size)
                label = clean_class_map(maps, label, self.certain, self.seed_radius)
            first = self._first_labels(label)
            refined = self._refine(offsets, label) if self.s2i else first
            pairs = first.owner if self.initial_pairs == "instances" else label.class_map.masked_fill(label.unknown, 0)
            affinities = image.features.sum() * image.features.new_zeros(2)
            if self.i2s:
                result = propagate_and_compare(
                    image.features,
                    probabilities.flatten(1),
                    [segments_at_stride(pairs), segments_at_stride(refined.owner)],
                    scale=self.affinity_scale,
                    power=self.affinity_power,
                    background=self.background_pairs,
                    rows=self.affinity_rows,
                )
                probabilities = result.propagated.view_as(probabilities)
                affinities = affinity_losses(result.pair_means)
            maps = upsample_grid(probabilities, image.size)
            stages.append(self._terms(offsets, maps, label, affinities, (first, refined)))
        return stages

    def _first_labels(self, label: PointLabels) -> OwnerLabels:
        return initial_labels(
            label.class_map,
            label.points,
            label.classes,
            min_area=self.min_area,
            one_point_target=self.one_point_target,
            regions=label.regions,
            mask_owner=label.mask_owner,
        )

    @staticmethod
    def _refine(offsets: Tensor, label: PointLabels) -> OwnerLabels:
        owner = refine_owners(
            label.class_map,
            offsets.detach(),
            label.points,
            label.classes,
            regions=label.regions,
            mask_owner=label.mask_owner,
        )
        return OwnerLabels(owner, label.points.floor())

    @staticmethod
    def _terms(
        offsets: Tensor,
        maps: Tensor,
        label: PointLabels,
        affinities: Tensor,
        owners: tuple[OwnerLabels, OwnerLabels],
    ) -> _ImageTerms:
        class_map = compact_labels(label.class_map, label.classes)
        errors = [
            sum_offset_errors(offsets[None], offset_targets(o.owner, o.targets)[None], (o.owner > 0)[None])
            for o in owners
        ]
        inside = (class_map > 0) & (class_map != UNKNOWN)
        return _ImageTerms(
            pixel_cross_entropy(maps[None], class_map[None]).flatten(),
            torch.stack([error.total for error in errors]),
            torch.stack([error.count for error in errors]),
            affinities,
            torch.stack((inside.sum(), (owners[1].owner > 0).sum())).to(affinities.dtype),
        )

    def _reduce(self, terms: Sequence[_ImageTerms]) -> Tensor:
        """Return the five weighted losses (5,) of one stage of the batch, see ``PointLosses``."""
        values = torch.cat([image.pixel_losses for image in terms])
        seg = hardest_loss(values, self.hard_share)
        counts = torch.stack([image.offset_counts for image in terms]).sum(0)
        sums = torch.stack([image.offset_sums for image in terms]).sum(0)
        offsets = [
            0.5 * self.offset_weight * global_mean(total, count) for total, count in zip(sums, counts, strict=True)
        ]
        affinities = 0.5 * self.affinity_weight * torch.stack([image.affinities for image in terms]).mean(0)
        return torch.stack([self.seg_weight * seg, *offsets, *affinities])
