"""Supervision of a class map that is learned from points: seeds, similar color and similar depth (source "points")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor

from ...losses.class_pairwise import class_pairwise_sums
from ...losses.hard_pixels import UNKNOWN, pixel_cross_entropy
from ...ops.precision import full_precision, without_autocast
from ..points.class_map import PointLabels, compact_labels, compact_probabilities, upsample_grid
from ..points.heads import STRIDE, PointOutputs
from .annotations import Inputs
from .base import global_mean
from .boxes import BoxSupervision
from .depth import depth_maps

SEEDS, COLOR, DEPTH = "loss_seeds", "loss_class_color", "loss_class_depth"
_SMALLEST = 1e-6


@dataclass(frozen=True)
class ClassEdges:
    """Similar pairs of cells of a batch on the grid of stride 4.

    Attributes:
        edges: (B, h, w) packed edges by the name of their loss, see ``ops.pack_edges``.
    """

    edges: Mapping[str, Tensor]


class ClassMapSupervision:
    """Losses of the class head from points alone: cross entropy at seeds, and equal classes of similar neighbors.

    The class map is that of the class head, before its propagation. Foreground and background seeds have equal weight,
    all other pixels are ignored. The pairwise losses are -log sum_c P_c(i) P_c(j) over the similar pairs (i, j).

    Args:
        pairs: definition of similar pairs; its stride must be 4.
        seed_weight, color_weight, depth_weight: factors of the losses; a depth weight of 0 needs no depth.

    Raises:
        ValueError: the stride of the pairs is not 4.
    """

    @configurable
    def __init__(
        self, *, pairs: BoxSupervision, seed_weight: float = 1.0, color_weight: float = 1.0, depth_weight: float = 0.0
    ) -> None:
        if pairs.stride != STRIDE:
            raise ValueError(
                f"MODEL.CONDINST.MASK_OUT_STRIDE is {pairs.stride}, but a learned class map needs {STRIDE}"
            )
        self.pairs, self.seed_weight = pairs, seed_weight
        self.pair_weights = {COLOR: color_weight, **({DEPTH: depth_weight} if depth_weight > 0 else {})}

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read the arguments from ``MODEL.P2SEG.SEMANTIC``, ``MODEL.BOXINST`` and ``MODEL.DEPTH``."""
        node = cfg.MODEL.P2SEG.SEMANTIC
        if node.DEPTH and not cfg.INPUT.DEPTH.ENABLED:
            raise ValueError(
                "MODEL.P2SEG.SEMANTIC.DEPTH is True, but INPUT.DEPTH.ENABLED is False: set it True, or DEPTH False"
            )
        return {
            "pairs": BoxSupervision(cfg),
            "seed_weight": node.SEED_WEIGHT,
            "color_weight": node.COLOR_WEIGHT,
            "depth_weight": node.DEPTH_WEIGHT if node.DEPTH else 0.0,
        }

    @torch.no_grad()
    def targets(self, images: Tensor, image_sizes: list[tuple[int, int]], inputs: Inputs) -> ClassEdges:
        """Find the similar pairs of a batch.

        Args:
            images: (B, 3, H, W) in [0, 255], zero-padded, not normalized.
            image_sizes: (height, width) of each image without padding, pixels.
            inputs: samples of the images, with ``height`` and, if depth is used, ``depth``.

        Raises:
            KeyError: an image comes without depth, and depth is used.
        """
        with without_autocast(images.device):
            valid = self.pairs.valid_cells(images, image_sizes, [x["height"] for x in inputs])
            edges = {COLOR: self.pairs.color_edges(images, valid)}
            if DEPTH in self.pair_weights:
                depth = depth_maps(
                    [x["depth"].to(images.device) for x in inputs], (images.shape[2], images.shape[3]), STRIDE
                )
                edges[DEPTH] = self.pairs.depth_edges(depth, valid)
            return ClassEdges(edges)

    def losses(self, outputs: PointOutputs, labels: Sequence[PointLabels], targets: ClassEdges) -> dict[str, Tensor]:
        """Compute the weighted losses of a batch: 0-dim, by name.

        Args:
            outputs: outputs of the heads for B images, padded.
            labels: points and ``seeds`` of each image.
            targets: return value of ``targets`` for the same batch.

        Raises:
            ValueError: an image comes without seeds.
        """
        with without_autocast(outputs.class_logits.device):
            maps = [
                compact_probabilities(full_precision(logits[(slice(None), *_grid(label))]), label.classes)
                for logits, label in zip(outputs.class_logits, labels, strict=True)
            ]
            losses = {SEEDS: self.seed_weight * self._seed_loss(maps, labels)}
            for name, weight in self.pair_weights.items():
                sums = [
                    class_pairwise_sums(probabilities[None].clamp(min=_SMALLEST).log(), edges[_grid(label)][None])
                    for probabilities, edges, label in zip(maps, targets.edges[name], labels, strict=True)
                ]
                total, count = torch.cat([s.total for s in sums]), torch.cat([s.count for s in sums])
                losses[name] = weight * global_mean(total, count)
            return losses

    @staticmethod
    def _seed_loss(maps: Sequence[Tensor], labels: Sequence[PointLabels]) -> Tensor:
        sums, counts = [], []
        for probabilities, label in zip(maps, labels, strict=True):
            if label.seeds is None:
                raise ValueError(
                    "a class map that is learned from points needs seeds: use PointMapper of the same config"
                )
            seeds = compact_labels(label.seeds, label.classes)
            full = upsample_grid(probabilities, (seeds.shape[0], seeds.shape[1]))
            values = pixel_cross_entropy(full[None], seeds[None])[0]
            halves = torch.stack((seeds == 0, (seeds > 0) & (seeds != UNKNOWN)))
            sums.append((values * halves).sum((1, 2)))
            counts.append(halves.sum((1, 2)).to(values.dtype))
        return 0.5 * sum(map(global_mean, torch.stack(sums, 1), torch.stack(counts, 1)))  # type: ignore[return-value]


def _grid(label: PointLabels) -> tuple[slice, slice]:
    """Return the rows and columns of the grid that belong to the image without padding."""
    height, width = label.class_map.shape
    return slice(-(-height // STRIDE)), slice(-(-width // STRIDE))
