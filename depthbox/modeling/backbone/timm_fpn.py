"""Any timm network that yields strides 8, 16 and 32, with a feature pyramid P3 to P7."""

from __future__ import annotations

import os
from typing import Any

import timm
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.fpn import FPN
from torch import Tensor, nn

from .resnet_fpn import feature_pyramid

_STRIDES = (8, 16, 32)


class TimmBackbone(Backbone):
    """Features res3, res4 and res5 (strides 8, 16, 32) of a timm network.

    Args:
        name: timm's model name.
        pretrained: let timm download its weights.
        weights: local state dict for the network; "" = none.
        options: more arguments of ``timm.create_model``.
        freeze_norm: turn batch norm into fixed scale and shift.
        freeze_stages: freeze all modules whose output stride is at most 2 ** freeze_stages.

    Raises:
        ValueError: the network has not these strides.
        FileNotFoundError: no file of weights at that place.
    """

    def __init__(
        self,
        name: str,
        *,
        pretrained: bool = False,
        weights: str = "",
        options: dict[str, Any] | None = None,
        freeze_norm: bool = False,
        freeze_stages: int = 0,
    ) -> None:
        super().__init__()
        options = dict(options or {})
        if "swin" in name:
            options.setdefault("strict_img_size", False)  # any input size
        probe = timm.create_model(name, features_only=True, **options)
        indices = [i for i, stride in enumerate(probe.feature_info.reduction()) if stride in _STRIDES]
        found = probe.feature_info.reduction()
        if [found[i] for i in indices] != list(_STRIDES):
            raise ValueError(f"timm network {name} has strides {found}; a pyramid needs 8, 16 and 32")
        self.network = timm.create_model(
            name, features_only=True, out_indices=indices, pretrained=pretrained, **options
        )
        channels = self.network.feature_info.channels()
        self._out_features = ["res3", "res4", "res5"]
        self._out_feature_channels = dict(zip(self._out_features, channels, strict=True))
        self._out_feature_strides = dict(zip(self._out_features, _STRIDES, strict=True))
        if weights:
            self._load(name, weights)
        if freeze_norm:  # batch norm in evaluation mode: timm's variants carry their activation, so none is replaced
            for parameter in (p for norm in self._norms() for p in norm.parameters()):
                parameter.requires_grad_(False)
        self.freeze_norm = freeze_norm
        self._freeze(freeze_stages)
        self.train()

    def train(self, mode: bool = True) -> TimmBackbone:
        """Set the mode; frozen batch norm stays in evaluation mode."""
        super().train(mode)
        if self.freeze_norm:
            for norm in self._norms():
                norm.eval()
        return self

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features by name, (B, C, H, W) each, from normalised images (B, 3, H, W)."""
        outputs = self.network(images)
        result = {}
        for name, output in zip(self._out_features, outputs, strict=True):
            channels_last = output.shape[1] != self._out_feature_channels[name]
            result[name] = output.permute(0, 3, 1, 2).contiguous() if channels_last else output
        return result

    def _norms(self) -> list[nn.Module]:
        return [m for m in self.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    def _load(self, name: str, weights: str) -> None:
        path = os.path.expandvars(os.path.expanduser(weights))
        if not os.path.isfile(path):
            raise FileNotFoundError(f"MODEL.TIMM.WEIGHTS: no file {path}; give a state dict of timm's {name}, or ''")
        state = torch.load(path, map_location="cpu", weights_only=True)
        result = self.network.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
        missing = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
        if missing:
            raise ValueError(f"{path} lacks {len(missing)} tensors of timm's {name}, the first: {missing[:3]}")

    def _freeze(self, stages: int) -> None:
        if stages <= 0:
            return
        ends = [e["module"] for e in self.network.feature_info.info if e["reduction"] <= 2**stages]
        if not ends:
            return
        end = ends[-1].replace(".", "_") + "_"  # timm flattens some names: blocks.1 or blocks_1
        parameters = list(self.network.named_parameters())  # in the order of execution
        last = max(i for i, (name, _) in enumerate(parameters) if name.replace(".", "_").startswith(end))
        for _, parameter in parameters[: last + 1]:
            parameter.requires_grad_(False)


@BACKBONE_REGISTRY.register()
def build_timm_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """The network of ``MODEL.TIMM`` with Detectron2's FPN, outputs p3..p7."""
    if input_shape.channels != 3:
        raise ValueError(f"timm backbones take 3 channels, MODEL.PIXEL_MEAN has {input_shape.channels}")
    node = cfg.MODEL.TIMM
    bottom_up = TimmBackbone(
        node.NAME,
        pretrained=node.PRETRAINED,
        weights=node.WEIGHTS,
        options=dict(zip(node.OPTIONS[0::2], node.OPTIONS[1::2], strict=True)),
        freeze_norm=node.FREEZE_NORM,
        freeze_stages=node.FREEZE_STAGES,
    )
    return feature_pyramid(cfg, bottom_up, ["res3", "res4", "res5"])
