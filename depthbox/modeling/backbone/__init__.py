"""Backbones with feature pyramids; importing registers them with Detectron2."""

from .deformable import DeformableBottleneck, DeformableConv2d, build_deformable_resnet
from .hrnet import HRNetBackbone, build_timm_hrnet_backbone
from .resnet_fpn import build_depthbox_resnet_fpn_backbone
from .timm_fpn import TimmBackbone, build_timm_fpn_backbone

__all__ = [
    "DeformableBottleneck",
    "DeformableConv2d",
    "HRNetBackbone",
    "TimmBackbone",
    "build_deformable_resnet",
    "build_depthbox_resnet_fpn_backbone",
    "build_timm_fpn_backbone",
    "build_timm_hrnet_backbone",
]
