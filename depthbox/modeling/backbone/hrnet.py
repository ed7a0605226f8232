"""HRNet of timm as a backbone with one feature map at stride 4, without a pyramid."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import Tensor, nn

from .timm_fpn import build_timm

FINEST, STRIDE = "res2", 4


class HRNetBackbone(Backbone):
    """The finest branch of an HRNet: ``res2`` at stride 4, with 18 channels of ``hrnet_w18`` and 48 of ``hrnet_w48``.

    The last module of HRNet mixes all branches into each of four outputs. The parts of the three coarse outputs are
    removed: their parameters would not get gradients.

    Args:
        cfg: MODEL.TIMM, whose NAME is an HRNet of timm.

    Raises:
        ValueError: MODEL.TIMM.NAME is not an HRNet.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        name = cfg.MODEL.TIMM.NAME
        if not name.startswith("hrnet"):
            raise ValueError(
                f"MODEL.TIMM.NAME is {name!r}, but build_timm_hrnet_backbone needs an HRNet, such as hrnet_w18: name "
                "one, or set MODEL.BACKBONE.NAME build_timm_fpn_backbone"
            )
        changed = cfg.clone()
        changed.defrost()
        changed.MODEL.TIMM.OPTIONS = [*cfg.MODEL.TIMM.OPTIONS, "feature_location", ""]
        self.bottom_up = build_timm(changed, (STRIDE,))
        last = self.bottom_up.network.stage4[-1]
        last.fuse_layers = nn.ModuleList(last.fuse_layers[:1])
        self._out_features = [FINEST]
        self._out_feature_channels = {FINEST: self.bottom_up.output_shape()[FINEST].channels}
        self._out_feature_strides = {FINEST: STRIDE}

    @property
    def size_divisibility(self) -> int:
        """Divisor of the height and width of images, in pixels: the branches are upsampled by whole factors."""
        return 32

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute ``res2`` (B, C, H/4, W/4) from normalized images (B, 3, H, W), H and W multiples of 32."""
        return self.bottom_up(images)


@BACKBONE_REGISTRY.register()
def build_timm_hrnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> HRNetBackbone:
    """Build the HRNet of ``MODEL.TIMM`` with its feature map at stride 4."""
    if input_shape.channels != 3:
        raise ValueError(f"timm backbones need 3 input channels, but MODEL.PIXEL_MEAN has {input_shape.channels}")
    return HRNetBackbone(cfg)
