"""timm networks with features at strides 8, 16 and 32, or also 4, and a feature pyramid on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.fpn import FPN
from timm.models.swin_transformer import SwinTransformerBlock
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from torch import Tensor, nn

from .resnet_fpn import feature_pyramid
from .timm_weights import read_weights

_NAMES = {4: "res2", 8: "res3", 16: "res4", 32: "res5"}  # by stride


class TimmBackbone(Backbone):
    """Features of a timm network: res3, res4 and res5 (strides 8, 16, 32) by default, and res2 (stride 4).

    Swin networks accept images of any size, which may change between calls: windows that extend beyond the image are
    padded with zeros, and every second block shifts its windows in all stages, as in Swin's detection code.

    Args:
        name: timm's model name.
        pretrained: download timm's weights.
        weights: state dict of timm's whole network or of its features, see ``timm_weights.find_weights``; "" = none.
        options: further arguments of ``timm.create_model``, such as ``drop_path_rate``.
        freeze_norm: turn batch norm into a fixed scale and shift.
        freeze_stages: freeze all modules whose output stride is at most 2 ** freeze_stages.
        output_norm: add a layer norm (over channels) to each output, as in Swin's detection code: its blocks normalize
            their inputs but not the residual sums, and neither does timm. None = for Swin only.
        strides: strides of the features, ascending.

    Raises:
        ValueError: the network lacks one of these strides, or the weights do not fit it.
        FileNotFoundError: the file of weights does not exist.
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
        output_norm: bool | None = None,
        strides: Sequence[int] = (8, 16, 32),
    ) -> None:
        super().__init__()
        self.network: Any = create_features(name, pretrained, dict(options or {}), strides)
        channels = self.network.feature_info.channels()
        self._out_features = [_NAMES[stride] for stride in strides]
        self._out_feature_channels = dict(zip(self._out_features, channels, strict=True))
        self._out_feature_strides = dict(zip(self._out_features, strides, strict=True))
        self._channels_last = getattr(self.network, "output_fmt", "NCHW") == "NHWC"
        normed = "swin" in name if output_norm is None else output_norm
        self.output_norms = nn.ModuleDict({f: nn.LayerNorm(c) for f, c in self._out_feature_channels.items() if normed})
        if weights:
            state = read_weights(weights, self.network.state_dict(), name)
            self.network.load_state_dict(state, strict=False)
        if freeze_norm:  # batch norm in evaluation mode: timm's variants carry their activation, so none is replaced
            for parameter in (p for norm in self._norms() for p in norm.parameters()):
                parameter.requires_grad_(False)
        self.freeze_norm = freeze_norm
        self._freeze(freeze_stages)
        self.train()

    def train(self, mode: bool = True) -> TimmBackbone:
        """Set the mode of the network; frozen batch norm stays in evaluation mode."""
        super().train(mode)
        if self.freeze_norm:
            for norm in self._norms():
                norm.eval()
        return self

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute features (B, C, H / s, W / s) by name, for the strides s, from normalized images (B, 3, H, W)."""
        result = {}
        for name, output in zip(self._out_features, self.network(images), strict=True):
            if self.output_norms:
                output = self.output_norms[name](output if self._channels_last else output.permute(0, 2, 3, 1))
            if self._channels_last or self.output_norms:
                output = output.permute(0, 3, 1, 2).contiguous()
            result[name] = output
        return result

    def _norms(self) -> list[nn.Module]:
        return [m for m in self.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

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


_FILE_OPTIONS = ("checkpoint_path", "cache_dir")


def create_features(name: str, pretrained: bool, options: dict[str, Any], strides: Sequence[int]) -> Any:
    """Build the part of timm's network that computes the features of given strides.

    Args:
        name: timm's model name.
        pretrained: download timm's weights.
        options: further arguments of ``timm.create_model``; completed in place.
        strides: strides of the outputs, ascending.

    Raises:
        ValueError: the name or an option would fetch a network from elsewhere or read another file.
    """
    foreign = [key for key in options if key.startswith("pretrained") or key in _FILE_OPTIONS]
    if ":" in name or foreign:
        source = f"MODEL.TIMM.NAME {name[:80]!r}" if ":" in name else f"MODEL.TIMM.OPTIONS {foreign[0][:80]!r}"
        raise ValueError(
            f"{source} reads a network from another place: name a network of timm, and its file in MODEL.TIMM.WEIGHTS"
        )
    if "swin" in name:
        options.setdefault("strict_img_size", False)  # any input size
    if "swin_" in name:
        # Otherwise timm omits the shift in stage 4, whose map was one window at the image size of the pretraining.
        options.setdefault("always_partition", True)
    options.update(features_only=True, pretrained=pretrained)
    indices = list(range(-len(strides), 0))  # correct for nearly all networks, if the last stride is 32
    try:
        network = timm.create_model(name, out_indices=indices, **options)
    except OSError as error:
        if not pretrained:
            raise
        reason = " ".join(str(error).split())[:200]
        raise ConnectionError(
            f"MODEL.TIMM.PRETRAINED: the weights of {name} cannot be downloaded ({reason}): set it False, and "
            "MODEL.TIMM.WEIGHTS to a file of these weights"
        ) from error
    if network.feature_info.reduction() != list(strides):
        found = [entry["reduction"] for entry in network.feature_info.info]
        if not set(strides) <= set(found):
            raise ValueError(f"timm network {name} has strides {found}; the backbone needs {list(strides)}")
        indices = [i for i, stride in enumerate(found) if stride in strides and stride not in found[i + 1 :]]
        network = timm.create_model(name, out_indices=indices, **options)
    for block in network.modules():
        if type(block) in _PADDED:
            block.__class__ = _PADDED[type(block)]
    return network


class _PadFirst(nn.Module):
    """Mixin that pads the last windows of a Swin block before they are shifted, as in Swin's detection code.

    timm shifts first, and its attention masks are then correct for whole windows only: otherwise opposite borders of
    the image attend to each other (timm issue 2438).
    """

    window_size: tuple[int, int]

    def _attn(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        padded = F.pad(x, (0, 0, 0, -width % self.window_size[1], 0, -height % self.window_size[0]))
        return super()._attn(padded)[:, :height, :width].contiguous()  # type: ignore[misc]


class _SwinBlock(_PadFirst, SwinTransformerBlock):
    pass


class _SwinV2Block(_PadFirst, SwinTransformerV2Block):
    pass


_PADDED = {SwinTransformerBlock: _SwinBlock, SwinTransformerV2Block: _SwinV2Block}


@BACKBONE_REGISTRY.register()
def build_timm_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Build the network of ``MODEL.TIMM`` with Detectron2's FPN, with outputs p3 to p7 by default."""
    if input_shape.channels != 3:
        raise ValueError(f"timm backbones need 3 input channels, but MODEL.PIXEL_MEAN has {input_shape.channels}")
    strides = tuple(stride for stride in _NAMES if stride >= cfg.MODEL.TIMM.FINEST_STRIDE)
    return feature_pyramid(cfg, build_timm(cfg, strides), [_NAMES[stride] for stride in strides])


def build_timm(cfg: CfgNode, strides: Sequence[int]) -> TimmBackbone:
    """Build the network of ``MODEL.TIMM`` with features of given strides, ascending.

    Raises:
        ValueError: an odd number of MODEL.TIMM.OPTIONS, or see ``TimmBackbone``.
    """
    node = cfg.MODEL.TIMM
    if len(node.OPTIONS) % 2:
        raise ValueError(f"MODEL.TIMM.OPTIONS must be KEY, VALUE, KEY, VALUE..., but ends with a key: {node.OPTIONS}")
    return TimmBackbone(
        node.NAME,
        pretrained=node.PRETRAINED,
        weights=node.WEIGHTS,
        options=dict(zip(node.OPTIONS[0::2], node.OPTIONS[1::2], strict=True)),
        freeze_norm=node.FREEZE_NORM,
        freeze_stages=node.FREEZE_STAGES,
        output_norm={"auto": None, "on": True, "off": False}[node.OUTPUT_NORM],
        strides=strides,
    )
