"""Criterion of the masks: the sum of the losses of all kinds of supervision (eq. 6 and 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn

from ...ops.precision import full_precision, without_autocast
from ...structures import Annotations, MaskPredictions, Queries
from .base import WeightedSupervision
from .builder import build_supervision


@dataclass(frozen=True)
class WeightedTargets:
    """Targets of one kind of supervision for a batch.

    Attributes:
        targets: return value of ``Supervision.targets``.
        weight: (M,) float32, weight of each object; None = 1 for every object.
    """

    targets: Any
    weight: Tensor | None


class MaskCriterion(nn.Module):
    """Losses of masks and instance depth, computed in float32 at least, also under autocast (eq. 6 and 11).

    The normalizers are means over all processes, so that n processes train like one process with the whole batch.

    Args:
        kinds: kinds of supervision, in the order of their losses; losses of one name are added.
    """

    @configurable
    def __init__(self, *, kinds: Sequence[WeightedSupervision]) -> None:
        super().__init__()
        self.kinds = list(kinds)
        supervisions = [kind.supervision for kind in kinds]
        self.fields = _unique(name for kind in kinds for name in kind.fields)
        self.optional_fields = _unique(name for kind in supervisions for name in kind.optional_fields)
        self.loss_names = _unique(name for kind in supervisions for name in kind.loss_names)
        self.warmup_iters = {name: steps for kind in supervisions for name, steps in kind.warmup_iters.items()}

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Build the kinds of supervision of a config, see ``build_supervision``."""
        return {"kinds": build_supervision(cfg)}

    @torch.no_grad()
    def targets(
        self, images: Tensor, image_sizes: list[tuple[int, int]], annotations: Annotations
    ) -> list[WeightedTargets]:
        """Build the targets of a batch for each kind of supervision.

        Args:
            images: (B, 3, H, W) in [0, 255], zero-padded, not normalized.
            image_sizes: (height, width) of each image without padding, pixels.
            annotations: annotations of these images, with ``fields``.
        """
        with without_autocast(images.device):
            return [
                WeightedTargets(
                    kind.supervision.targets(images, image_sizes, annotations),
                    None if kind.weigh is None else kind.weigh(annotations),
                )
                for kind in self.kinds
            ]

    def forward(
        self, predictions: MaskPredictions, queries: Queries, targets: Sequence[WeightedTargets]
    ) -> dict[str, Tensor]:
        """Compute the losses ``loss_names``: 0-dim tensors, before any warm-up.

        Args:
            predictions: masks of the queries, and their depth if its loss is on.
            queries: Q queries.
            targets: return value of ``targets`` for the same batch.
        """
        with without_autocast(predictions.logits.device):
            return self._sum_losses(predictions, queries, targets)

    def _sum_losses(
        self, predictions: MaskPredictions, queries: Queries, targets: Sequence[WeightedTargets]
    ) -> dict[str, Tensor]:
        depth = predictions.depth_logits
        logits = full_precision(predictions.logits)
        predictions = MaskPredictions(logits, None if depth is None else full_precision(depth))
        losses: dict[str, Tensor] = {}
        for kind, target in zip(self.kinds, targets, strict=True):
            if target.weight is None:
                weight = logits.new_ones(len(logits))
            else:
                weight = target.weight[queries.target_index].to(logits.dtype)
            for name, loss in kind.supervision.losses(predictions, queries, target.targets, weight).items():
                losses[name] = losses[name] + loss if name in losses else loss
        return losses


def _unique(names: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
