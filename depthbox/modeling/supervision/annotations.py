"""From the dicts that the data loader gives to the tensors that the network is trained with."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor

from ...structures import Annotations

Inputs = list[dict[str, Any]]


class AnnotationReader:
    """Moves what a batch is annotated with to the network's device; reads only what the config uses.

    Args:
        supervision: "box" never touches a mask; "mask" and "mixed" read them.
        uses_depth: read the pseudo depth.
        uses_pseudo_masks: read the teacher's masks, where it gave any.

    Raises:
        ValueError: a loss needs depth and INPUT.DEPTH.ENABLED is off.
    """

    @configurable
    def __init__(self, *, supervision: str, uses_depth: bool = False, uses_pseudo_masks: bool = False) -> None:
        self.supervision = supervision
        self.uses_depth, self.uses_pseudo_masks = uses_depth, uses_pseudo_masks

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        depth = cfg.MODEL.DEPTH
        consistency = depth.CONSISTENCY and cfg.MODEL.MASK_SUPERVISION != "mask"
        uses_depth = consistency or (depth.LAYER and depth.LOSS_WEIGHT > 0)
        if uses_depth and not cfg.INPUT.DEPTH.ENABLED:
            raise ValueError(
                "MODEL.DEPTH trains with pseudo depth, but INPUT.DEPTH.ENABLED is False: set it True, or set "
                "MODEL.DEPTH.LAYER and MODEL.DEPTH.CONSISTENCY False"
            )
        return {
            "supervision": cfg.MODEL.MASK_SUPERVISION,
            "uses_depth": uses_depth,
            "uses_pseudo_masks": cfg.MODEL.DISTILL.ENABLED,
        }

    def __call__(self, inputs: Inputs, device: torch.device) -> Annotations:
        """Annotations of a batch, image by image.

        Args:
            inputs: the mapper's dicts, see ``DepthBox.forward``.
            device: of the network.

        Raises:
            KeyError: depth is used and an image comes without.
        """
        instances = [x["instances"] for x in inputs]
        masks = has_mask = depth = None
        if self.supervision != "box":
            masks = [_upload(x.gt_masks.tensor, device) for x in instances]
        if self.supervision == "mixed":
            has_mask = _upload_together([x.gt_has_mask for x in instances], device)
        if self.uses_depth:
            depth = [self._depth(x, device) for x in inputs]
        labeled = self.uses_pseudo_masks and all(x.has("pseudo_masks") for x in instances)
        return Annotations(
            original_heights=[x["height"] for x in inputs],
            boxes=_upload_together([x.gt_boxes.tensor for x in instances], device),
            classes=_upload_together([x.gt_classes for x in instances], device),
            masks=masks,
            has_mask=has_mask,
            depth=depth,
            pseudo_masks=[_upload(x.pseudo_masks, device) for x in instances] if labeled else None,
            pseudo_weights=_upload_together([x.pseudo_weights for x in instances], device) if labeled else None,
        )

    @staticmethod
    def _depth(x: dict[str, Any], device: torch.device) -> Tensor:
        if "depth" not in x:
            raise KeyError(
                f"{x.get('file_name', 'an image')} comes without depth, which MODEL.DEPTH trains with: the data "
                "mapper must read it (BoxDepthMapper with INPUT.DEPTH.ENABLED True)"
            )
        return _upload(x["depth"], device)


def _upload(values: Tensor, device: torch.device) -> Tensor:
    """On the device, without a wait for what is queued there."""
    return values.to(device, non_blocking=True)


def _upload_together(values: list[Tensor], device: torch.device) -> list[Tensor]:
    """The same of several small tensors (N_b, ...) in one copy."""
    return list(_upload(torch.cat(values), device).split([len(x) for x in values]))
