"""Construction of a network from its config."""

from __future__ import annotations

import logging

import torch
from detectron2.config import CfgNode
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, build_model
from torch import nn

from ..config.blame import build_from_config
from ..config.error import ConfigError

PARTS = ("backbone", "proposal_generator.fcos_head", "mask_branch")
_REGISTRIES = (("META_ARCHITECTURE", META_ARCH_REGISTRY), ("BACKBONE.NAME", BACKBONE_REGISTRY))


def compile_parts(model: nn.Module) -> list[str]:
    """Compile backbone, towers and mask branch in place, for images of any size; the first step then takes minutes.

    The names of the weights stay. Selection, matching and pasting are not compiled: their shapes depend on the data.

    Args:
        model: ``DepthBox`` or another network; parts that it lacks are skipped.

    Returns:
        Names of the compiled parts.
    """
    modules = dict(model.named_modules())
    found = [name for name in PARTS if name in modules]
    for name in found:
        modules[name].compile(dynamic=True)
    return found


def build_network(cfg: CfgNode, *, initial_weights: bool = True) -> nn.Module:
    """Build MODEL.META_ARCHITECTURE on MODEL.DEVICE without loading MODEL.WEIGHTS, and log its number of parameters.

    Args:
        cfg: config.
        initial_weights: load the weights of MODEL.TIMM into the backbone; False for a network whose weights are loaded
            from a checkpoint, so that no file, package or address of the config is used.

    Raises:
        ConfigError: a name that is not registered, a device that this machine lacks, or a value with which the network
            cannot be built.
        FileNotFoundError, ValueError: the weights of MODEL.TIMM do not exist or do not fit.
    """
    check_names(cfg)
    check_device(cfg.MODEL.DEVICE)
    model = build_from_config(cfg if initial_weights else _without_weights(cfg), _build)
    if cfg.MODEL.COMPILE:
        compile_parts(model)
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    logging.getLogger(__name__).info(
        "%s: %.2f million parameters, %.2f trained", type(model).__name__, total / 1e6, trained / 1e6
    )
    return model


def _build(cfg: CfgNode) -> nn.Module:
    """Build the network; a failure of Detectron2's own networks is a mistake of the config, which must fit them."""
    try:
        return build_model(cfg)
    except (KeyError, AssertionError, TypeError, AttributeError, IndexError) as error:
        name = cfg.MODEL.META_ARCHITECTURE
        if not META_ARCH_REGISTRY.get(name).__module__.startswith("detectron2."):
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ConfigError(
            f"MODEL.META_ARCHITECTURE is {name}, which cannot be built from the other keys of MODEL ({reason}): give "
            "DepthBox, or the keys of this network"
        ) from error


def check_names(cfg: CfgNode) -> None:
    """Refuse a meta-architecture or backbone that is not registered.

    Raises:
        ConfigError: naming the registered ones.
    """
    for key, registry in _REGISTRIES:
        name = cfg.MODEL.META_ARCHITECTURE if key == "META_ARCHITECTURE" else cfg.MODEL.BACKBONE.NAME
        if name not in registry:
            names = ", ".join(sorted(registered for registered, _ in registry))
            raise ConfigError(f"MODEL.{key} is '{name}', which is not registered. Registered are {names}")


def check_device(name: str) -> None:
    """Refuse a device that torch does not know or that this machine lacks.

    Args:
        name: MODEL.DEVICE.

    Raises:
        ConfigError: naming the remedy.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"MODEL.DEVICE is '{name}', which is not a device: give cpu, cuda or cuda:N") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise ConfigError(
                f"MODEL.DEVICE is {name}, but no GPU is available; add MODEL.DEVICE cpu to run on the CPU"
            )
        if (device.index or 0) >= count:
            raise ConfigError(f"MODEL.DEVICE is {name}, but this machine has {count} GPU(s): the first is cuda:0")
    elif device.type not in ("cpu", "meta"):
        module = getattr(torch, device.type, None)
        if module is None or not getattr(module, "is_available", lambda: False)():
            raise ConfigError(f"MODEL.DEVICE is {name}, which this machine lacks; add MODEL.DEVICE cpu")


def _without_weights(cfg: CfgNode) -> CfgNode:
    if "TIMM" not in cfg.MODEL:
        return cfg
    changed = cfg.clone()
    changed.defrost()
    changed.MODEL.TIMM.WEIGHTS, changed.MODEL.TIMM.PRETRAINED = "", False
    changed.freeze()
    return changed
