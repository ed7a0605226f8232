"""Names that other projects give to the tensors of the same networks, turned into ours.

Known are AdelaiDet's BoxInst and CondInst, torchvision's ResNets, and what Detectron2 matches by the ends of names
(weights of MSRA, Caffe2, pycls). Detectron2's own names are ours, and so are most of AdelaiDet's.
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
_SCALE = re.compile(r"(.*\.scales)\.(\d+)(?:\.\w+)?")  # one number per level; ours is one tensor of all levels
# Steps done so far, of the warm-up; the head of a loss on semantics; what the config says.
_NOT_NEEDED = re.compile(r"mask_head\._iter|mask_branch\.(seg_head|logits)\..*|pixel_mean|pixel_std")
_CLASSIFIER = re.compile(r"(stem\.|head\.)?(fc\d*|linear)\.(weight|bias)")  # of ImageNet
_RESNET = "backbone.bottom_up."
# A file may hold a part of the network only, under names that begin there.
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
class Renamed:
    """Weights under our names.

    Attributes:
        state: all that may belong to the network; names that nobody knew are as they were.
        layout: whose names they had, "" for ours.
        not_needed: names in the file of tensors that are known, and have no place in the network.
    """

    state: dict[str, Tensor]
    layout: str = ""
    not_needed: list[str] = field(default_factory=list)


def rename(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], *, by_suffix: bool = False, caffe2: bool = False
) -> Renamed:
    """Find our names for the tensors of a file.

    Args:
        state: the file's tensors by name.
        own: the network's, by its names.
        by_suffix: a name in the file is the end of one of ours (Detectron2's ``matching_heuristics``).
        caffe2: with ``by_suffix``, names are Caffe2's, such as ``res2_0_branch2a_w``.

    Raises:
        ValueError: a name is the end of several of ours.
    """
    if by_suffix:
        matched = _by_suffix(state, own, caffe2)
        classifier = [name for name in matched if _CLASSIFIER.fullmatch(name) and name not in own]
        kept = {name: tensor for name, tensor in matched.items() if name not in classifier}
        return Renamed(kept, "Caffe2" if caffe2 else "Detectron2's ImageNet models", classifier)
    if "layer1.0.conv1.weight" in state and f"{_RESNET}stem.conv1.weight" in own:
        return from_torchvision(state, own)
    renamed = from_adelaidet(state, own)
    part = max(_PARTS, key=lambda prefix: sum(prefix + name in own for name in renamed.state))
    return Renamed({part + name: t for name, t in renamed.state.items()}, renamed.layout, renamed.not_needed)


def from_adelaidet(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Renamed:
    """Our names for those of a BoxInst or CondInst network of AdelaiDet.

    The order of the numbers that the controller gives is the same, and so are all names but of the levels' scales.
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
    return Renamed(result, ADELAIDET if adelaidet else "", not_needed)


def from_torchvision(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Renamed:
    """Our names for those of a ResNet of torchvision.

    The classifier is not needed, nor are counters of batch norm where the network's norm is frozen.
    """
    result: dict[str, Tensor] = {}
    not_needed = []
    for name, tensor in state.items():
        new = _RESNET + _torchvision_name(name)
        if name.startswith("fc.") or (name.endswith(".num_batches_tracked") and new not in own):
            not_needed.append(name)
        else:
            result[new] = tensor
    return Renamed(result, TORCHVISION, not_needed)


def _torchvision_name(name: str) -> str:
    for pattern, replacement in _TORCHVISION:
        found = pattern.fullmatch(name)
        if found:  # torchvision counts stages from 1, Detectron2 from 2, since the stem is its first
            stage = int(found[1]) + 1 if "{stage}" in replacement else 0
            return found.expand(replacement.format(stage=stage))
    return name


def _by_suffix(state: Mapping[str, Tensor], own: Mapping[str, Tensor], caffe2: bool) -> dict[str, Tensor]:
    with _silent(logging.getLogger(align_and_update_state_dicts.__module__)):
        matched = align_and_update_state_dicts(dict(own), dict(state), c2_conversion=caffe2)
    result = {}
    for name, tensor in matched.items():  # a tensor of the wrong shape keeps its short name
        owners = [] if name in own else [n for n in own if n.endswith(f".{name}") and n not in matched]
        result[owners[0] if len(owners) == 1 else name] = tensor
    return result


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Keep Detectron2's tables out of the log: there is a report at the end."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
