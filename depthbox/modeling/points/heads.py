"""Dense heads of P2Seg at stride 4: class map, offsets to points, affinity features, and optional centers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 4


@dataclass(frozen=True)
class PointOutputs:
    """Outputs of the heads on the grid of stride 4, h = H / 4 and w = W / 4 for a padded batch (B, 3, H, W).

    Attributes:
        class_logits: (B, K + 1, h, w), background first.
        offsets: (B, 2, h, w), (dy, dx) from a cell to the point of its object, input pixels.
        features: (B, D, h, w), affinity features.
        centers: (B, K, h, w), height of the bump at the points of each class; None without center head.
    """

    class_logits: Tensor
    offsets: Tensor
    features: Tensor
    centers: Tensor | None = None


class PointHeads(nn.Module):
    """Class, offset, affinity and center heads on the sum of feature maps (P2Seg).

    Args:
        shapes: channels and stride of each feature map, the finest of stride 4 first. Several maps must have equal
            numbers of channels; they are upsampled to the finest and added.
        num_classes: number of classes K.
        channels: channels of the hidden layer of each head but the affinity head, which is one convolution.
        affinity_channels: affinity features per cell, D.
        centers: whether there is a center head.
        initial_std: standard deviation of the initial weights, whose biases are 0; 0 = the default of torch.

    Raises:
        ValueError: the finest map does not have stride 4, or the maps differ in channels.
    """

    @configurable
    def __init__(
        self,
        *,
        shapes: Mapping[str, ShapeSpec],
        num_classes: int,
        channels: int = 256,
        affinity_channels: int = 256,
        centers: bool = False,
        initial_std: float = 0.001,
    ) -> None:
        super().__init__()
        self.in_features = tuple(shapes)
        width = check_shapes(shapes)
        self.class_head = _build_head(width, channels, num_classes + 1)
        self.offset_head = _build_head(width, channels, 2)
        self.affinity_head = nn.Conv2d(width, affinity_channels, 3, padding=1)
        self.center_head = _build_head(width, channels, num_classes) if centers else None
        for layer in self.modules() if initial_std > 0 else ():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=initial_std)
                nn.init.constant_(layer.bias, 0.0)  # type: ignore[arg-type]  # these convolutions have a bias

    @classmethod
    def from_config(cls, cfg: CfgNode, shapes: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Read the arguments from ``MODEL.P2SEG``; ``shapes`` are those of all features of the backbone."""
        node = cfg.MODEL.P2SEG
        unknown = [name for name in node.IN_FEATURES if name not in shapes]
        unused = [name for name in shapes if name not in node.IN_FEATURES]
        if unknown or unused:
            raise ValueError(
                f"MODEL.P2SEG.IN_FEATURES is {list(node.IN_FEATURES)}, but the backbone {cfg.MODEL.BACKBONE.NAME} has "
                f"{', '.join(shapes)}: name exactly these (for a pyramid down to p2 set MODEL.TIMM.FINEST_STRIDE 4 or "
                "MODEL.FPN.IN_FEATURES from res2, and MODEL.FPN.TOP_LEVELS False)"
            )
        return {
            "shapes": {name: shapes[name] for name in node.IN_FEATURES},
            "num_classes": node.NUM_CLASSES,
            "channels": node.HEAD_CHANNELS,
            "affinity_channels": node.AFFINITY_CHANNELS,
            "centers": node.CENTER_WEIGHT > 0,
            "initial_std": node.HEAD_STD,
        }

    def forward(self, features: Mapping[str, Tensor]) -> PointOutputs:
        """Compute the outputs from feature maps (B, C, H / s, W / s) by name."""
        x = _sum_levels([features[name] for name in self.in_features])
        centers = None if self.center_head is None else self.center_head(x)
        return PointOutputs(self.class_head(x), self.offset_head(x), self.affinity_head(x), centers)


def check_shapes(shapes: Mapping[str, ShapeSpec]) -> int:
    """Return the number of channels of feature maps that can be added at stride 4.

    Raises:
        ValueError: the first map does not have stride 4, or the maps differ in channels.
    """
    channels = {shape.channels for shape in shapes.values()}
    strides = [shape.stride for shape in shapes.values()]
    if not strides or strides[0] != STRIDE or strides != sorted(strides) or len(channels) != 1:
        raise ValueError(
            f"MODEL.P2SEG.IN_FEATURES is {list(shapes)} with strides {strides} and channels {sorted(channels)}: the "
            "first must have stride 4, the others coarser strides and the same number of channels"
        )
    return int(channels.pop())


def _build_head(in_channels: int, channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(channels, out_channels, 1)
    )


def _sum_levels(levels: Sequence[Tensor]) -> Tensor:
    finest = levels[0]
    for level in levels[1:]:
        finest = finest + F.interpolate(level, size=finest.shape[2:], mode="bilinear", align_corners=False)
    return finest
