"""Construction of a network from its config."""

from __future__ import annotations

import logging

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

PARTS = ("backbone", "proposal_generator.fcos_head", "mask_branch")


def compile_parts(model: nn.Module) -> list[str]:
    """Compile backbone, towers and mask branch in place, for images of any size; the first step then takes minutes.

    The names of the weights stay. Selection, matching and pasting are not compiled: their shapes depend on the data.

    Args:
        model: ``DepthBox`` or another network; parts that it lacks are skipped.

    Returns:
        Names of the compiled parts.
    """
    modules = dict(model.named_modules())
    found = [name for name in PARTS if name in modules]
    for name in found:
        modules[name].compile(dynamic=True)
    return found


def build_network(cfg: CfgNode) -> nn.Module:
    """Build MODEL.META_ARCHITECTURE on MODEL.DEVICE without loading weights, and log its number of parameters."""
    model = build_model(cfg)
    if cfg.MODEL.COMPILE:
        compile_parts(model)
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    logging.getLogger(__name__).info(
        "%s: %.2f million parameters, %.2f trained", type(model).__name__, total / 1e6, trained / 1e6
    )
    return model
