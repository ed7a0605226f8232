"""Networks of both stages: that which labels points (A), and that which is trained on the masks (B)."""

from __future__ import annotations

from typing import Any

from ..models import TIMM_DOWNLOAD, ModelChoice, choose_model

_PYRAMID = ["res2", "res3", "res4", "res5"]
_IMAGENET = {
    "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
    "MODEL.PIXEL_STD": [58.395, 57.12, 57.375],
    "INPUT.FORMAT": "RGB",
}
# Further keys of stage A on the FPN of any network of ``models.MODELS``: a level at stride 4, none above stride 32.
_ON_PYRAMID: dict[str, Any] = {
    "MODEL.META_ARCHITECTURE": "P2Seg",
    "MODEL.FPN.TOP_LEVELS": False,
    "MODEL.P2SEG.IN_FEATURES": ["p2", "p3", "p4", "p5"],
}
_ON_TIMM = {"MODEL.TIMM.FINEST_STRIDE": 4}
_ON_RESNET = {"MODEL.RESNETS.OUT_FEATURES": _PYRAMID, "MODEL.FPN.IN_FEATURES": _PYRAMID}
# The heads on the CPU: the cost of the affinity is proportional to its channels.
_SMALL_HEADS = {"MODEL.P2SEG.HEAD_CHANNELS": 64, "MODEL.P2SEG.AFFINITY_CHANNELS": 64}


def _hrnet(name: str, about: str, images: int) -> ModelChoice:
    keys = {
        "VERSION": 2,
        "MODEL.META_ARCHITECTURE": "P2Seg",
        "MODEL.BACKBONE.NAME": "build_timm_hrnet_backbone",
        "MODEL.TIMM.NAME": name,
        "MODEL.WEIGHTS": "",
        "MODEL.P2SEG.IN_FEATURES": ["res2"],
        **_IMAGENET,
    }
    return ModelChoice(name, about, keys, TIMM_DOWNLOAD, images_per_gpu=images)


LABELERS = {
    choice.name: choice
    for choice in (
        _hrnet("hrnet_w48", "HRNet-W48, that of the paper", 6),
        _hrnet("hrnet_w18", "HRNet-W18; smaller", 12),
    )
}


def is_labeler(name: str) -> bool:
    """Return whether --model names a network of stage A alone."""
    return name.lower().replace("-", "_") in LABELERS


def choose_labeler(name: str, device: str) -> ModelChoice:
    """Return the network of stage A: an HRNet by its name, else the backbone of the network of that name.

    Args:
        name: --model; "" = hrnet_w48 on a GPU, the backbone of the default network on the CPU.
        device: "cuda" or "cpu".

    Raises:
        ConfigError: the name is unknown.
    """
    if is_labeler(name) or (not name and device != "cpu"):
        return LABELERS[name.lower().replace("-", "_") or "hrnet_w48"]
    model = choose_model(name, device)
    more = {**_ON_PYRAMID, **(_ON_TIMM if model.is_timm else _ON_RESNET), **(_SMALL_HEADS if device == "cpu" else {})}
    keys = {**model.keys, **more}
    return ModelChoice(
        model.name,
        model.about,
        keys,
        model.weights,
        model.optimizer,
        model.rate,
        model.batch,
        model.decay,
        model.images_per_gpu,
        model.frozen,
    )


def choose_segmentor(name: str, device: str) -> ModelChoice:
    """Return the network of stage B: the default one if --model names a network of stage A alone.

    Raises:
        ConfigError: the name is unknown.
    """
    return choose_model("" if is_labeler(name) else name, device)
