"""The kinds of mask supervision by their names in ``MODEL.MASK_SUPERVISION``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from detectron2.config import CfgNode
from torch import Tensor

from ...structures import Annotations
from .base import WeightedSupervision
from .boxes import BoxSupervision
from .depth import DepthSupervision
from .masks import MaskSupervision
from .pseudo_masks import PseudoMaskSupervision


def weigh_by_mask(annotations: Annotations) -> Tensor:
    """Return the weight (M,) float32 of supervision by masks: 1 for objects with a mask, else 0."""
    return torch.cat(annotations["gt_has_mask"]).float()


def weigh_by_box(annotations: Annotations) -> Tensor:
    """Return the weight (M,) float32 of supervision by boxes: 1 for objects without a mask, else 0."""
    return (~torch.cat(annotations["gt_has_mask"])).float()


def weigh_by_score(annotations: Annotations) -> Tensor:
    """Return the weight (M,) float32 of supervision by masks: ``gt_weight`` of each object."""
    return torch.cat(annotations["gt_weight"])


def weigh_mask_by_score(annotations: Annotations) -> Tensor:
    """Return the weight (M,) float32 of supervision by masks: ``gt_weight`` for objects with a mask, else 0."""
    return weigh_by_mask(annotations) * weigh_by_score(annotations)


def _build_masks(cfg: CfgNode) -> list[WeightedSupervision]:
    if cfg.INPUT.OBJECT_WEIGHT:
        return [WeightedSupervision(MaskSupervision(cfg), weigh_by_score, ("gt_weight",))]
    return [WeightedSupervision(MaskSupervision(cfg))]


def _build_mixed(cfg: CfgNode) -> list[WeightedSupervision]:
    masks = WeightedSupervision(MaskSupervision(cfg), weigh_by_mask, ("gt_has_mask",))
    if cfg.INPUT.OBJECT_WEIGHT:
        masks = WeightedSupervision(MaskSupervision(cfg), weigh_mask_by_score, ("gt_has_mask", "gt_weight"))
    return [WeightedSupervision(BoxSupervision(cfg), weigh_by_box, ("gt_has_mask",)), masks]


KINDS: dict[str, Callable[[CfgNode], list[WeightedSupervision]]] = {
    "box": lambda cfg: [WeightedSupervision(BoxSupervision(cfg))],
    "mask": _build_masks,
    "mixed": _build_mixed,
}


def build_supervision(cfg: CfgNode) -> list[WeightedSupervision]:
    """Build the supervision of ``MODEL.MASK_SUPERVISION``, then that of the depth and of a teacher if they are on.

    Raises:
        ValueError: ``MODEL.MASK_SUPERVISION`` is unknown, or a loss needs depth and ``INPUT.DEPTH.ENABLED`` is False.
    """
    model = cfg.MODEL
    if model.MASK_SUPERVISION not in KINDS:
        raise ValueError(f"MODEL.MASK_SUPERVISION must be {', '.join(KINDS)}, got {model.MASK_SUPERVISION!r}")
    kinds = KINDS[model.MASK_SUPERVISION](cfg)
    if model.DEPTH.LAYER and model.DEPTH.LOSS_WEIGHT > 0:
        kinds.append(WeightedSupervision(DepthSupervision(cfg)))
    if model.DISTILL.ENABLED and model.DISTILL.LOSS_WEIGHT > 0:
        kinds.append(WeightedSupervision(PseudoMaskSupervision(cfg)))
    if not cfg.INPUT.DEPTH.ENABLED and any("depth" in kind.supervision.fields for kind in kinds):
        raise ValueError(
            "MODEL.DEPTH trains with pseudo depth, but INPUT.DEPTH.ENABLED is False: set it True, or set "
            "MODEL.DEPTH.LAYER and MODEL.DEPTH.CONSISTENCY False"
        )
    return kinds
