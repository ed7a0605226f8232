"""Conversion of tensor names from other projects.

Supported are AdelaiDet's BoxInst and CondInst, torchvision's ResNets, and weights that Detectron2 matches by name
suffix (MSRA, Caffe2, pycls). Names of Detectron2, and most of AdelaiDet, are the same as in DepthBox.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from torch import Tensor

TORCHVISION = "torchvision"
ADELAIDET = "AdelaiDet"
_SCALE = re.compile(r"(.*\.scales)\.(\d+)(?:\.\w+)?")  # one scalar per level; DepthBox has one tensor for all levels
# Step counter of the warm-up, head of the auxiliary semantic loss, constants of the config.
_NOT_NEEDED = re.compile(r"mask_head\._iter|mask_branch\.(seg_head|logits)\..*|pixel_mean|pixel_std")
_CLASSIFIER = re.compile(r"(stem\.|head\.)?(fc\d*|linear)\.(weight|bias)")  # of ImageNet
_RESNET = "backbone.bottom_up."
# A file may hold only a part of the network, with names relative to one of these prefixes.
_PARTS = ("", "backbone.", _RESNET, f"{_RESNET}network.")
_TORCHVISION = (
    (re.compile(r"conv1\.(.*)"), r"stem.conv1.\1"),
    (re.compile(r"bn1\.(.*)"), r"stem.conv1.norm.\1"),
    (re.compile(r"layer(\d)\.(\d+)\.conv(\d)\.(.*)"), r"res{stage}.\2.conv\3.\4"),
    (re.compile(r"layer(\d)\.(\d+)\.bn(\d)\.(.*)"), r"res{stage}.\2.conv\3.norm.\4"),
    (re.compile(r"layer(\d)\.(\d+)\.downsample\.0\.(.*)"), r"res{stage}.\2.shortcut.\3"),
    (re.compile(r"layer(\d)\.(\d+)\.downsample\.1\.(.*)"), r"res{stage}.\2.shortcut.norm.\3"),
)


@dataclass(frozen=True)
class ConvertedWeights:
    """Weights under DepthBox's names.

    Attributes:
        state: tensors that may belong to the network; unknown names are unchanged.
        layout: project whose names the file has, "" for DepthBox.
        not_needed: known names in the file that have no counterpart in the network.
    """

    state: dict[str, Tensor]
    layout: str = ""
    not_needed: list[str] = field(default_factory=list)


def convert_names(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], *, by_suffix: bool = False, caffe2: bool = False
) -> ConvertedWeights:
    """Convert the tensor names of a file to DepthBox's names.

    Args:
        state: tensors of the file by name, of any shape.
        own: tensors of the network by name, of any shape.
        by_suffix: a name in the file is a suffix of a name in the network (Detectron2's ``matching_heuristics``).
        caffe2: with ``by_suffix``, the names are Caffe2's, such as ``res2_0_branch2a_w``.

    Raises:
        ValueError: a name is a suffix of several names in the network.
    """
    if by_suffix:
        matched = _by_suffix(state, own, caffe2)
        classifier = [name for name in matched if _CLASSIFIER.fullmatch(name) and name not in own]
        kept = {name: tensor for name, tensor in matched.items() if name not in classifier}
        return ConvertedWeights(kept, "Caffe2" if caffe2 else "Detectron2's ImageNet models", classifier)
    if "layer1.0.conv1.weight" in state and f"{_RESNET}stem.conv1.weight" in own:
        return convert_torchvision(state, own)
    converted = convert_adelaidet(state, own)
    part = max(_PARTS, key=lambda prefix: sum(prefix + name in own for name in converted.state))
    return ConvertedWeights(
        {part + name: t for name, t in converted.state.items()}, converted.layout, converted.not_needed
    )


def convert_adelaidet(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> ConvertedWeights:
    """Convert the names of a BoxInst or CondInst network of AdelaiDet.

    The order of the controller's parameters is the same. All names are the same except the scales of the levels,
    which are one scalar per level there and one (L,) tensor here.
    """
    result: dict[str, Tensor] = {}
    scales: dict[str, dict[int, Tensor]] = {}
    not_needed = []
    for name, tensor in state.items():
        scale = _SCALE.fullmatch(name)
        if scale and scale[1] in own:
            scales.setdefault(scale[1], {})[int(scale[2])] = tensor
        elif _NOT_NEEDED.fullmatch(name) and name not in own:
            not_needed.append(name)
        else:
            result[name] = tensor
    for name, levels in scales.items():
        result[name] = torch.cat([levels[level].reshape(-1) for level in sorted(levels)])
    adelaidet = bool(scales) or "mask_head._iter" in not_needed
    return ConvertedWeights(result, ADELAIDET if adelaidet else "", not_needed)


def convert_torchvision(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> ConvertedWeights:
    """Convert the names of a torchvision ResNet.

    Tensors of any shape are returned unchanged. The classifier and the counters of batch norm layers that are frozen in
    the network are not needed.
    """
    result: dict[str, Tensor] = {}
    not_needed = []
    for name, tensor in state.items():
        new = _RESNET + _torchvision_name(name)
        if name.startswith("fc.") or (name.endswith(".num_batches_tracked") and new not in own):
            not_needed.append(name)
        else:
            result[new] = tensor
    return ConvertedWeights(result, TORCHVISION, not_needed)


def _torchvision_name(name: str) -> str:
    for pattern, replacement in _TORCHVISION:
        found = pattern.fullmatch(name)
        if found:  # torchvision numbers stages from 1, Detectron2 from 2: its first stage is the stem
            stage = int(found[1]) + 1 if "{stage}" in replacement else 0
            return found.expand(replacement.format(stage=stage))
    return name


def _by_suffix(state: Mapping[str, Tensor], own: Mapping[str, Tensor], caffe2: bool) -> dict[str, Tensor]:
    with _silent(logging.getLogger(align_and_update_state_dicts.__module__)):
        matched = align_and_update_state_dicts(dict(own), dict(state), c2_conversion=caffe2)
    result = {}
    for name, tensor in matched.items():  # a tensor of the wrong shape has kept its short name
        owners = [] if name in own else [n for n in own if n.endswith(f".{name}") and n not in matched]
        result[owners[0] if len(owners) == 1 else name] = tensor
    return result


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Suppress Detectron2's tables: the load report replaces them."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
