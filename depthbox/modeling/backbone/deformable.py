"""ResNet with deformable 3x3 convolutions (v1, and modulated v2) based on torchvision's operator.

The operator of Detectron2's block runs on GPUs only. Here the 3x3 convolutions of a plain network are replaced. The
parameters keep the names and shapes of Detectron2, so that its published weights load.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.layers import CNNBlockBase, Conv2d, ShapeSpec
from detectron2.modeling import build_resnet_backbone
from detectron2.modeling.backbone.resnet import BottleneckBlock, ResNet
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

_STAGES = ("res2", "res3", "res4", "res5")


class DeformableConv2d(Conv2d):
    """Convolution that samples the input at shifted coordinates, with an optional weight per sample.

    Source: Dai et al., "Deformable Convolutional Networks"; Zhu et al., "Deformable ConvNets v2".
    """

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve, then apply the norm and the activation of the layer, if it has them.

        Args:
            x: (B, C, H, W) float; it is zero outside of the map.
            offset: (B, 2 G K, H', W') float, in input pixels, for K kernel elements in row order: ordered by group of
                input channels, then by kernel element, dy before dx.
            mask: (B, G K, H', W') float, ordered by group, then by kernel element; None = ones (v1).

        Returns:
            (B, C', H', W') of the dtype of ``x``.
        """
        # Older torchvision has neither an autocast rule nor a bfloat16 kernel, and coordinates need float32.
        dtype = torch.promote_types(x.dtype, torch.float32)
        with torch.autocast(device_type=x.device.type, enabled=False):
            out = deform_conv2d(
                x.to(dtype),
                offset.to(dtype),
                self.weight.to(dtype),
                None if self.bias is None else self.bias.to(dtype),
                stride=self.stride,
                padding=self.padding,
                dilation=self.dilation,
                mask=None if mask is None else mask.to(dtype),
            ).to(x.dtype)
        if self.norm is not None:
            out = self.norm(out)
        return out if self.activation is None else self.activation(out)


class DeformableBottleneck(CNNBlockBase):
    """Bottleneck block of Detectron2 with a deformable 3x3 convolution.

    ``conv2_offset`` has 18 G output channels (v1) or 27 G (v2), of which the last 9 G are logits of the mask. It is
    initialized to zero: no shift, and a mask of 1/2. Detectron2 names the first two thirds x and y but concatenates
    them again unchanged, and its kernel interprets them like torchvision's, which has the same origin: (dy, dx) per
    kernel element. The channels are therefore passed on in their order.

    Args:
        plain: block whose layers are reused; it must not be used any more.
        modulated: v2 instead of v1.
        groups: G, number of groups of input channels with separate offsets.

    Raises:
        ValueError: G does not divide the channels of the 3x3 convolution.
    """

    def __init__(self, plain: BottleneckBlock, *, modulated: bool = False, groups: int = 1) -> None:
        super().__init__(plain.in_channels, plain.out_channels, plain.stride)
        old = plain.conv2
        if groups < 1 or old.in_channels % groups:
            raise ValueError(f"MODEL.RESNETS.DEFORM_NUM_GROUPS = {groups} does not divide {old.in_channels} channels")
        self.modulated = modulated
        shape = {
            "kernel_size": old.kernel_size,
            "stride": old.stride,
            "padding": old.padding,
            "dilation": old.dilation,
        }
        elements = old.kernel_size[0] * old.kernel_size[1]
        self.shortcut = plain.shortcut
        self.conv1 = plain.conv1
        self.conv2_offset = Conv2d(old.in_channels, (3 if modulated else 2) * elements * groups, **shape)
        nn.init.zeros_(self.conv2_offset.weight)
        nn.init.zeros_(self.conv2_offset.bias)
        self.conv2 = DeformableConv2d(
            old.in_channels, old.out_channels, bias=False, groups=old.groups, norm=old.norm, **shape
        )
        self.conv2.weight = old.weight
        self.conv3 = plain.conv3

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        out = F.relu(self.conv1(x))
        offset, mask = self.conv2_offset(out), None
        if self.modulated:
            third = offset.shape[1] // 3
            offset, mask = offset[:, : 2 * third], offset[:, 2 * third :].sigmoid()
        out = F.relu(self.conv2(out, offset, mask))
        out = self.conv3(out)
        return F.relu(out + (x if self.shortcut is None else self.shortcut(x)))


def build_deformable_resnet(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Build Detectron2's ResNet of ``MODEL.RESNETS``, deformable in the stages of ``DEFORM_ON_PER_STAGE``.

    Strides, dilation, groups, norm, frozen stages and outputs are those of ``build_resnet_backbone``.

    Raises:
        ValueError: ``DEFORM_ON_PER_STAGE`` has not one entry per stage (res2 to res5), the network has basic blocks
            (depth 18 or 34), or the number of groups does not divide the channels.
    """
    node = cfg.MODEL.RESNETS
    if len(node.DEFORM_ON_PER_STAGE) != len(_STAGES):
        raise ValueError(f"MODEL.RESNETS.DEFORM_ON_PER_STAGE must have one entry for each of {', '.join(_STAGES)}")
    if node.DEPTH < 50:
        raise ValueError(
            f"MODEL.RESNETS.DEFORM_ON_PER_STAGE needs bottleneck blocks: DEPTH 50 or more, not {node.DEPTH}"
        )
    plain = cfg.clone()
    plain.defrost()
    plain.MODEL.RESNETS.DEFORM_ON_PER_STAGE = [False] * len(_STAGES)
    network = build_resnet_backbone(plain, input_shape)
    for name, deformable in zip(_STAGES, node.DEFORM_ON_PER_STAGE, strict=True):
        stage = getattr(network, name, None)  # None for stages after the last output
        if deformable and stage is not None:
            for i, block in enumerate(stage):
                stage[i] = DeformableBottleneck(block, modulated=node.DEFORM_MODULATED, groups=node.DEFORM_NUM_GROUPS)
    network.freeze(cfg.MODEL.BACKBONE.FREEZE_AT)  # again, for the new layers
    return network
