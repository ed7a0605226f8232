"""Frozen records that travel between the rooms of the network.

Shape letters, used everywhere in this package:

========= ==================================================================
``B``     images in the batch
``N``     rows: any set of instances (objects, queries, detections)
``Q``     queries: positions of the detector whose mask is computed
``M``     annotated objects in the batch, all images concatenated
``C``     classes, or channels where no class is meant
``G``     numbers that the controller predicts for one query
``L``     feature levels
``P``     positions of all levels in one image (or ``K``, of the whole batch)
``H, W``  height and width of the map at hand
========= ==================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Queries:
    """Positions of the detector whose dynamic filters, and so masks, are computed; sorted by image.

    Attributes:
        image_index: (Q,) int64, image of each query, ascending.
        level: (Q,) int64, feature level, 0 = finest.
        row, column: (Q,) int64, cell of that level.
        locations: (Q, 2) float32, (x, y) of the cell's centre in input pixels.
        target_index: (Q,) int64, object of the batch (0..M-1) that the query stands for; -1 at inference.
        counts: queries of each image, a tuple of B integers on the host.
        num_positives: positions of the batch that stand for an object, of which these were chosen; 0 at inference.
    """

    image_index: Tensor
    level: Tensor
    row: Tensor
    column: Tensor
    locations: Tensor
    target_index: Tensor
    counts: tuple[int, ...]
    num_positives: int = 0

    def __len__(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class Annotations:
    """What a batch is annotated with, one entry per image, on the network's device; None where it is not used.

    Attributes:
        original_heights: of each image before it was resized.
        boxes: (N_b, 4) float32 xyxy, input pixels.
        classes: (N_b,) int64.
        masks: (N_b, h, w) bool true masks, h x w the image without padding.
        has_mask: (N_b,) bool, objects whose mask is to be used.
        depth: (1, h, w) float32 pseudo depth in [0, 1], 1 = near.
        pseudo_masks: (N_b, h/s, w/s) in [0, 1] the teacher's masks on the mask grid, rounded up.
        pseudo_weights: (N_b,) float32, 0 where the teacher has no reliable mask.
    """

    original_heights: list[int]
    boxes: list[Tensor]
    classes: list[Tensor]
    masks: list[Tensor] | None = None
    has_mask: list[Tensor] | None = None
    depth: list[Tensor] | None = None
    pseudo_masks: list[Tensor] | None = None
    pseudo_weights: list[Tensor] | None = None


@dataclass(frozen=True)
class MaskPredictions:
    """What the dynamic mask head says of each query, on the mask grid.

    Attributes:
        logits: (Q, 1, H, W), mask before the sigmoid; with the depth layer already times the depth (eq. 1).
        depth_logits: (Q, 1, H, W), instance depth before the sigmoid; None without the depth layer.
    """

    logits: Tensor
    depth_logits: Tensor | None = None


@dataclass(frozen=True)
class MaskTargets:
    """What the masks are trained with: per image or per object, never per query.

    Attributes:
        boxes: (M, 4) float32 xyxy, input pixels.
        color_edges: (B, H, W) integer bit sets of similar neighbours on the mask grid (see ``ops.pack_edges``),
            or None where no object is supervised by its box.
        depth_edges: the same of pixels at like depth, or None where the depth consistency loss is off.
        depth: (B, H, W) float32 pseudo depth in [0, 1] on the mask grid, 1 = near, or None where it is not used.
        masks: (M, H, W) bool true masks sampled on the mask grid, or None where none is used.
        has_mask: (M,) bool, objects supervised by their mask; None where ``MODEL.MASK_SUPERVISION`` is not ``mixed``.
        pseudo_masks: (M, H, W) float32 the teacher's masks in [0, 1], or None where it gave none.
        pseudo_weights: (M,) float32 weight of each of them, 0 = not reliable; None with them.
    """

    boxes: Tensor
    color_edges: Tensor | None = None
    depth_edges: Tensor | None = None
    depth: Tensor | None = None
    masks: Tensor | None = None
    has_mask: Tensor | None = None
    pseudo_masks: Tensor | None = None
    pseudo_weights: Tensor | None = None


def split_by_counts(values: Tensor, counts: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Split (N, ...) into one tensor per image; ``counts`` are the rows of each image."""
    return torch.split(values, list(counts))
