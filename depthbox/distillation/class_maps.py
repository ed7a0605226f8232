"""Class maps of an EMA teacher for a network that learns them from points (P2Seg, class map source "points")."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.structures import ImageList
from torch import Tensor

from ..losses.hard_pixels import UNKNOWN
from ..modeling.meta_arch.p2seg import P2Seg
from ..modeling.points.class_map import clean_class_map, compact_probabilities, split_outputs, upsample_grid
from ..modeling.supervision.point_labels import read_point_labels
from ..ops.precision import without_autocast
from .pseudo_labels import Batch

COLLAPSE = (0.2, 5.0)  # range of the foreground's share, relative to the class map without learning


class ClassMapLabeler:
    """Labeler that replaces the class maps of a batch by those of the teacher's class head.

    A pixel has the most probable class if its probability exceeds ``certain``, else it is unknown, see
    ``points.class_map.clean_class_map``. An image keeps the class map that it comes with if the share of its foreground
    differs from the teacher's by a factor of 5 or more, so that a collapsed class map does not train the network further.

    Args:
        teacher: network in evaluation mode; the caller updates its weights.
        certain: smallest probability of a known pixel, exclusive.
        seed_radius: radius of the discs around points, pixels.
    """

    @configurable
    def __init__(self, teacher: P2Seg, *, certain: float, seed_radius: int) -> None:
        self.teacher, self.certain, self.seed_radius = teacher, certain, seed_radius

    @classmethod
    def from_config(cls, cfg: CfgNode, teacher: P2Seg) -> dict[str, Any]:
        """Read the arguments from ``MODEL.P2SEG.SEMANTIC``."""
        node = cfg.MODEL.P2SEG.SEMANTIC
        return {"teacher": teacher, "certain": node.CERTAIN, "seed_radius": node.SEED_RADIUS}

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the teacher's ``class_map`` (H, W) uint8; the argument is not changed.

        Each sample also gets ``semantic_counts`` (4,) float32: whether its class map was replaced, 1, and the numbers of
        known pixels and of all pixels in the teacher's class map.

        Args:
            batch: samples of ``data.PointMapper`` for training.
        """
        teacher = self.teacher
        images = ImageList.from_tensors([x["image"].to(teacher.device) for x in batch], teacher.backbone.size_divisibility)
        outputs = teacher.predict_dense(images.tensor)
        labels = read_point_labels(batch, teacher.device)
        labeled = []
        with without_autocast(teacher.device):
            parts = split_outputs(outputs, images.image_sizes)
            for x, part, label in zip(batch, parts, labels, strict=True):
                probabilities = upsample_grid(compact_probabilities(part.class_logits, label.classes), part.size)
                class_map = clean_class_map(probabilities, label, self.certain, self.seed_radius).class_map
                sound = is_sound(class_map, label.class_map)
                known = (class_map != UNKNOWN).sum()
                counts = torch.stack((sound, torch.ones_like(sound), known, torch.ones_like(known) * class_map.numel()))
                chosen = torch.where(sound, class_map, label.class_map).to(torch.uint8)
                labeled.append({**x, "class_map": chosen, "semantic_counts": counts.float()})
        return labeled

    def count(self, labeled: Batch) -> Tensor:
        """Return sums over the images of a labeled batch (4,) float32, see ``summarize``."""
        return torch.stack([x["semantic_counts"] for x in labeled]).sum(0)

    def summarize(self, counts: list[float]) -> dict[str, float]:
        """Convert sums of ``count`` to statistics: share of replaced class maps, and of pixels of known class."""
        replaced, images, known, pixels = counts
        return {"semantic/replaced": replaced / images, "semantic/known": known / pixels} if images else {}


def is_sound(class_map: Tensor, reference: Tensor) -> Tensor:
    """Return whether the foreground of a class map has a plausible size, 0-dim bool.

    Args:
        class_map, reference: (H, W) int64: 0 background, class + 1, 255 unknown.

    Returns:
        True if the share of foreground is 0.2 to 5 times that of the reference, or the reference has none.
    """
    share, expected = foreground_share(class_map), foreground_share(reference)
    return (expected == 0) | ((share >= COLLAPSE[0] * expected) & (share <= COLLAPSE[1] * expected))


def foreground_share(class_map: Tensor) -> Tensor:
    """Return the share of the pixels of a class map (H, W) that are known foreground, 0-dim in [0, 1]."""
    return ((class_map > 0) & (class_map != UNKNOWN)).float().mean()
