"""The towers of FCOS: class, box and quality predictions, shared by all levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from detectron2.layers import get_norm
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class HeadOutputs:
    """Predictions of each level, finest first.

    Attributes:
        logits: (B, C, H, W) each, classes before the sigmoid.
        deltas: (B, 4, H, W) each, left, top, right, bottom in strides, >= 0.
        quality: (B, 1, H, W) each, centerness or IoU before the sigmoid.
        box_tower: (B, C, H, W) each, features from which the controller predicts filters.
    """

    logits: list[Tensor]
    deltas: list[Tensor]
    quality: list[Tensor]
    box_tower: list[Tensor]


class FCOSHead(nn.Module):
    """Two towers of convolutions and three predictors, applied to every level.

    Args:
        in_channels: channels of the features.
        num_classes: C.
        num_levels: L, one box scale each.
        num_share_convs, num_cls_convs, num_box_convs: depth of the common, class and box tower.
        norm: normalisation of the towers, "GN", "" or any of Detectron2's.
        use_scale: learn one factor per level on the box regression.
        prior_prob: initial probability of every class.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        num_levels: int,
        *,
        num_share_convs: int = 0,
        num_cls_convs: int = 4,
        num_box_convs: int = 4,
        norm: str = "GN",
        use_scale: bool = True,
        prior_prob: float = 0.01,
    ) -> None:
        super().__init__()
        self.share_tower = _tower(in_channels, num_share_convs, norm)
        self.cls_tower = _tower(in_channels, num_cls_convs, norm)
        self.bbox_tower = _tower(in_channels, num_box_convs, norm)
        self.cls_logits = nn.Conv2d(in_channels, num_classes, 3, padding=1)
        self.bbox_pred = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.ctrness = nn.Conv2d(in_channels, 1, 3, padding=1)
        self.scales = nn.Parameter(torch.ones(num_levels)) if use_scale else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        assert self.cls_logits.bias is not None
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - prior_prob) / prior_prob))

    def forward(self, features: list[Tensor]) -> HeadOutputs:
        """Predict from features (B, C, H, W) of every level, finest first."""
        outputs = HeadOutputs([], [], [], [])
        for level, feature in enumerate(features):
            shared = self.share_tower(feature)
            box_tower = self.bbox_tower(shared)
            deltas = self.bbox_pred(box_tower)
            if self.scales is not None:
                deltas = deltas * self.scales[level]
            outputs.logits.append(self.cls_logits(self.cls_tower(shared)))
            outputs.deltas.append(F.relu(deltas))
            outputs.quality.append(self.ctrness(box_tower))
            outputs.box_tower.append(box_tower)
        return outputs


def _tower(channels: int, num_convs: int, norm: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(num_convs):
        layers.append(nn.Conv2d(channels, channels, 3, padding=1))
        if norm == "GN":
            layers.append(nn.GroupNorm(math.gcd(32, channels // 2), channels))
        elif norm:
            layers.append(get_norm(norm, channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
