"""Levels of the feature pyramid that the config names, compared with those of the backbone."""

from __future__ import annotations

from collections.abc import Mapping

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec


def check_levels(cfg: CfgNode, shapes: Mapping[str, ShapeSpec], divisor: int) -> None:
    """Refuse levels that the backbone lacks, and strides other than its own.

    Args:
        cfg: MODEL.FCOS.IN_FEATURES, MODEL.FCOS.FPN_STRIDES and MODEL.CONDINST.MASK_BRANCH.IN_FEATURES are read.
        shapes: channels and strides of the backbone's features by name.
        divisor: number that the height and width of a padded batch are multiples of, in pixels.

    Raises:
        ValueError: naming the key and the levels of the backbone.
    """
    fcos, branch = cfg.MODEL.FCOS, cfg.MODEL.CONDINST.MASK_BRANCH
    backbone = f"the backbone {cfg.MODEL.BACKBONE.NAME} has {', '.join(shapes)}"
    for key, names in (
        ("MODEL.FCOS.IN_FEATURES", fcos.IN_FEATURES),
        ("MODEL.CONDINST.MASK_BRANCH.IN_FEATURES", branch.IN_FEATURES),
    ):
        if any(name not in shapes for name in names):
            raise ValueError(f"{key} is {list(names)}, but {backbone}")
        strides = [shapes[name].stride for name in names]
        if strides != sorted(strides):
            raise ValueError(f"{key} is {list(names)}: name the levels from the finest to the coarsest")
    strides = [shapes[name].stride for name in fcos.IN_FEATURES]
    if list(fcos.FPN_STRIDES) != strides:
        raise ValueError(f"MODEL.FCOS.FPN_STRIDES is {list(fcos.FPN_STRIDES)}, but these levels have {strides}")
    finest = shapes[branch.IN_FEATURES[0]].stride
    if divisor % finest:
        raise ValueError(
            f"MODEL.CONDINST.MASK_BRANCH.IN_FEATURES is {list(branch.IN_FEATURES)}, but the stride of its first level, "
            f"{finest}, must divide {divisor}, the divisor of the image size"
        )
