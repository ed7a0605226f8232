"""ResNet with deformable 3x3 convolutions (v1, and modulated v2) on torchvision's operation.

Detectron2's own block needs its compiled operation, on a GPU. Here the 3x3 convolutions of a plain network are
exchanged, and parameters keep the names and shapes of Detectron2's, so that its published weights load.
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
    """Convolution that reads the input at shifted places, and weighs what it reads where a mask is given.

    Source: Dai et al., "Deformable Convolutional Networks"; Zhu et al., "Deformable ConvNets v2".
    """

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve, then norm and activation, where the layer has them.

        Args:
            x: (B, C, H, W).
            offset: (B, 2 G K, H', W') in input pixels, K = kernel positions in row order: by group of input channels,
                then by kernel position, dy before dx. Outside of the input lie zeros.
            mask: (B, G K, H', W'), by group, then by kernel position; None = ones (v1).
        """
        # Older torchvision has no autocast rule here, nor a bfloat16 kernel; and places want the digits of float32.
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
    """A bottleneck block of Detectron2 whose 3x3 convolution became deformable.

    ``conv2_offset`` gives 18 G channels (v1), or 27 G (v2), of which the last 9 G are logits of the mask. It starts at
    zero: no shift, and a mask of 1/2 everywhere. Detectron2 names the first two thirds x and y, but joins them again
    unchanged, and its kernel reads them like torchvision's, which descends from the same code: (dy, dx) for each
    kernel position. So the channels pass as they are.

    Args:
        plain: the block to take the layers from; it must not be used any more.
        modulated: v2 instead of v1.
        groups: G, groups of input channels with offsets of their own.

    Raises:
        ValueError: the channels of the 3x3 convolution do not divide into so many groups.
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
        positions = old.kernel_size[0] * old.kernel_size[1]
        self.shortcut = plain.shortcut
        self.conv1 = plain.conv1
        self.conv2_offset = Conv2d(old.in_channels, (3 if modulated else 2) * positions * groups, **shape)
        nn.init.zeros_(self.conv2_offset.weight)
        nn.init.zeros_(self.conv2_offset.bias)
        self.conv2 = DeformableConv2d(
            old.in_channels, old.out_channels, bias=False, groups=old.groups, norm=old.norm, **shape
        )
        self.conv2.weight = old.weight
        self.conv3 = plain.conv3

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / stride, W / stride)."""
        out = F.relu(self.conv1(x))
        offset, mask = self.conv2_offset(out), None
        if self.modulated:
            third = offset.shape[1] // 3
            offset, mask = offset[:, : 2 * third], offset[:, 2 * third :].sigmoid()
        out = F.relu(self.conv2(out, offset, mask))
        out = self.conv3(out)
        return F.relu(out + (x if self.shortcut is None else self.shortcut(x)))


def build_deformable_resnet(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Detectron2's ResNet of ``MODEL.RESNETS``, deformable in the stages of ``DEFORM_ON_PER_STAGE`` (res2 to res5).

    All else (strides, dilation, groups, norm, frozen stages, outputs) is what ``build_resnet_backbone`` makes of it.

    Raises:
        ValueError: not one entry for each stage, a network of basic blocks (depth 18 or 34), or a wrong number of
            groups.
    """
    node = cfg.MODEL.RESNETS
    if len(node.DEFORM_ON_PER_STAGE) != len(_STAGES):
        raise ValueError(f"MODEL.RESNETS.DEFORM_ON_PER_STAGE has an entry for each of {_STAGES}, in this order")
    if node.DEPTH < 50:
        raise ValueError(
            f"MODEL.RESNETS.DEFORM_ON_PER_STAGE needs bottleneck blocks: DEPTH 50 or more, not {node.DEPTH}"
        )
    plain = cfg.clone()
    plain.defrost()
    plain.MODEL.RESNETS.DEFORM_ON_PER_STAGE = [False] * len(_STAGES)
    network = build_resnet_backbone(plain, input_shape)
    for name, deformable in zip(_STAGES, node.DEFORM_ON_PER_STAGE, strict=True):
        stage = getattr(network, name, None)  # stages after the last output do not exist
        if deformable and stage is not None:
            for i, block in enumerate(stage):
                stage[i] = DeformableBottleneck(block, modulated=node.DEFORM_MODULATED, groups=node.DEFORM_NUM_GROUPS)
    network.freeze(cfg.MODEL.BACKBONE.FREEZE_AT)  # once more, for the new layers
    return network
