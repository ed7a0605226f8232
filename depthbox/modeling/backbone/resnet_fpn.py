"""ResNet with a feature pyramid P3 to P7, or P2 to P5; P6 and P7 are computed from P5."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, build_resnet_backbone
from detectron2.modeling.backbone.fpn import FPN, LastLevelP6P7

from .deformable import build_deformable_resnet


def feature_pyramid(cfg: CfgNode, bottom_up: Backbone, in_features: list[str]) -> FPN:
    """Build Detectron2's FPN on the last stages of a network, with P6 and P7 if MODEL.FPN.TOP_LEVELS is True."""
    channels = cfg.MODEL.FPN.OUT_CHANNELS
    return FPN(
        bottom_up=bottom_up,
        in_features=in_features,
        out_channels=channels,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelP6P7(channels, channels, in_feature="p5") if cfg.MODEL.FPN.TOP_LEVELS else None,
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


@BACKBONE_REGISTRY.register()
def build_depthbox_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Build the ResNet-FPN of ``MODEL.RESNETS`` and ``MODEL.FPN``, with outputs p3 to p7 by default."""
    build = build_deformable_resnet if any(cfg.MODEL.RESNETS.DEFORM_ON_PER_STAGE) else build_resnet_backbone
    return feature_pyramid(cfg, build(cfg, input_shape), list(cfg.MODEL.FPN.IN_FEATURES))
