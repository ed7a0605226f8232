"""Records that pass between packages.

Letters of tensor shapes, used in the whole package:

========= ====================================================================
``B``     images of the batch
``N``     instances: objects, queries or detections
``M``     annotated objects of the batch, all images concatenated
``Q``     queries: locations of the detector whose mask is computed
``C``     classes, or channels
``G``     parameters of the dynamic mask head per query
``L``     feature levels
``P``     locations of all levels of one image
``H, W``  height and width of a map
========= ====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Queries:
    """Locations of the detector whose masks are computed, sorted by image.

    Attributes:
        image_index: (Q,) int64, image of each query, ascending.
        level: (Q,) int64, feature level, 0 = finest.
        row, column: (Q,) int64, cell of that level.
        locations: (Q, 2) float32, (x, y) of the cell's center in input pixels.
        target_index: (Q,) int64, object of the batch (0..M-1) to which the location is assigned; -1 at inference.
        counts: number of queries of each image, a tuple of B integers on the host.
        num_positives: number of positive locations of the batch, from which the queries were selected; 0 at inference.
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
    """Annotations of a batch on the network's device; each list has one entry per image.

    ``annotations[name]`` returns an entry of ``fields``, ``name in annotations`` tests for it.

    Attributes:
        original_heights: height of each image before it was resized, pixels.
        boxes: (N_b, 4) float32 xyxy, input pixels.
        classes: (N_b,) int64.
        fields: further tensors under the names that the supervision asks for (``Supervision.fields``), such as
            ``gt_masks`` (N_b, h, w) bool and ``depth`` (1, h, w) float32 in [0, 1], 1 = near; h x w is the size of
            the image without padding.
    """

    original_heights: list[int]
    boxes: list[Tensor]
    classes: list[Tensor]
    fields: Mapping[str, list[Tensor]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def __getitem__(self, name: str) -> list[Tensor]:
        return self.fields[name]


@dataclass(frozen=True)
class MaskPredictions:
    """Outputs of the dynamic mask head on the mask grid.

    Attributes:
        logits: (Q, 1, H, W), mask before the sigmoid; with the depth layer already multiplied by the depth (eq. 1).
        depth_logits: (Q, 1, H, W), instance depth before the sigmoid; None without the depth layer.
    """

    logits: Tensor
    depth_logits: Tensor | None = None


def split_by_counts(values: Tensor, counts: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Split (N, ...) into one tensor per image; ``counts`` holds the number of instances of each image."""
    return torch.split(values, list(counts))
