"""Mask branch: mask features that all instances of an image share."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from ...ops import aligned_upsample
from ..distributed import build_norm


class MaskBranch(nn.Module):
    """Fusion of pyramid levels at the stride of the finest level (CondInst).

    Args:
        in_features: names of the levels, finest first.
        in_channels: number of channels of each level.
        strides: input pixels per cell of each level.
        channels: number of channels of the convolutions.
        out_channels: C, number of channels of the mask features.
        num_convs: number of convolutions after the fusion.
        norm: normalization of the convolutions, see ``distributed.build_norm``.
    """

    @configurable
    def __init__(
        self,
        *,
        in_features: list[str],
        in_channels: list[int],
        strides: list[int],
        channels: int,
        out_channels: int,
        num_convs: int,
        norm: str,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.stride = strides[0]
        self.factors = [stride // strides[0] for stride in strides]
        self.refine = nn.ModuleList(_block(c, channels, norm) for c in in_channels)
        blocks = [_block(channels, channels, norm) for _ in range(num_convs)]
        self.tower = nn.Sequential(*blocks, nn.Conv2d(channels, out_channels, 1))

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Read the arguments from ``MODEL.CONDINST.MASK_BRANCH``, for features of these shapes."""
        node = cfg.MODEL.CONDINST.MASK_BRANCH
        return {
            "in_features": list(node.IN_FEATURES),
            "in_channels": [input_shape[name].channels for name in node.IN_FEATURES],
            "strides": [input_shape[name].stride for name in node.IN_FEATURES],
            "channels": node.CHANNELS,
            "out_channels": node.OUT_CHANNELS,
            "num_convs": node.NUM_CONVS,
            "norm": node.NORM,
        }

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Compute the mask features (B, C, H, W) at the stride of the finest level from features by name."""
        finest, *coarser = self.in_features
        fused = self.refine[0](features[finest])
        for name, refine, factor in zip(coarser, list(self.refine)[1:], self.factors[1:], strict=True):
            upsampled = aligned_upsample(refine(features[name]), factor)
            fused = fused + upsampled[..., : fused.shape[-2], : fused.shape[-1]]
        return self.tower(fused)


def _block(in_channels: int, channels: int, norm: str) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=not norm)
    nn.init.kaiming_uniform_(conv.weight, a=1)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    layers = [conv, build_norm(norm, channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*(layer for layer in layers if layer is not None))
