"""Head of FCOS: class, box and quality predictions; the levels share all weights except the box scales."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..distributed import build_norm


@dataclass(frozen=True)
class HeadOutputs:
    """Predictions per level, finest first.

    Attributes:
        logits: (B, C, H, W) per level, classes before the sigmoid.
        deltas: (B, 4, H, W) per level, distances to the left, top, right and bottom side in strides, >= 0.
        quality: (B, 1, H, W) per level, centerness or IoU before the sigmoid.
        box_tower: (B, C, H, W) per level, features from which the controller predicts filters.
    """

    logits: list[Tensor]
    deltas: list[Tensor]
    quality: list[Tensor]
    box_tower: list[Tensor]

    def flatten(self) -> FlatOutputs:
        """Return the predictions with the locations of all levels on one axis; each map is copied on first use."""
        return FlatOutputs(self)


@dataclass(frozen=True)
class FlatOutputs:
    """Predictions of all P locations, ordered like ``Locations``; float32 at least.

    Attributes:
        levels: predictions per level.
    """

    levels: HeadOutputs

    @cached_property
    def logits(self) -> Tensor:
        """Classes before the sigmoid, (B, P, C)."""
        return _flatten(self.levels.logits)

    @cached_property
    def deltas(self) -> Tensor:
        """Distances to the left, top, right and bottom side in strides, (B, P, 4)."""
        return _flatten(self.levels.deltas)

    @cached_property
    def quality(self) -> Tensor:
        """Box quality before the sigmoid, (B, P)."""
        return _flatten(self.levels.quality)[..., 0]


def _flatten(levels: list[Tensor]) -> Tensor:
    flat = torch.cat([x.flatten(2) for x in levels], dim=2).transpose(1, 2)
    return flat if flat.dtype == torch.float64 else flat.float()


class FCOSHead(nn.Module):
    """Two towers of convolutions and three predictors, applied to each level.

    Args:
        in_channels: number of channels of the features.
        num_classes: C.
        num_levels: L, number of box scales.
        num_share_convs, num_cls_convs, num_box_convs: number of convolutions of the shared, class and box tower.
        norm: normalization of the towers, "GN", "" or any name of Detectron2.
        use_scale: learn one factor per level on the box regression.
        prior_prob: initial probability of each class.
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
        """Predict from features (B, C, H, W) per level, finest first."""
        all_logits, all_deltas, all_quality, box_towers = [], [], [], []
        for level, feature in enumerate(features):
            shared = self.share_tower(feature)
            box_tower = self.bbox_tower(shared)
            deltas = self.bbox_pred(box_tower)
            if self.scales is not None:
                deltas = deltas * self.scales[level]
            all_logits.append(self.cls_logits(self.cls_tower(shared)))
            all_deltas.append(F.relu(deltas))
            all_quality.append(self.ctrness(box_tower))
            box_towers.append(box_tower)
        return HeadOutputs(all_logits, all_deltas, all_quality, box_towers)


def _tower(channels: int, num_convs: int, norm: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(num_convs):
        layers.append(nn.Conv2d(channels, channels, 3, padding=1))
        is_group = norm == "GN"
        layer = nn.GroupNorm(math.gcd(32, channels // 2), channels) if is_group else build_norm(norm, channels)
        layers += [nn.ReLU(inplace=True)] if layer is None else [layer, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
