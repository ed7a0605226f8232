"""Small networks and weight files for tests of loading weights."""

import pickle
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_backbone, build_model
from torch import nn

from depthbox import add_depthbox_config


def network_cfg(file: str, *overrides: Any) -> CfgNode:
    """Return the config of a file with a narrow network."""
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.merge_from_file(file)
    cfg.merge_from_list(["MODEL.FPN.OUT_CHANNELS", 32, "MODEL.CONDINST.MASK_BRANCH.CHANNELS", 16, *overrides])
    return cfg


def detector(*overrides: Any, seed: int = 0) -> nn.Module:
    """Return a DepthBox with random values in every tensor."""
    torch.manual_seed(seed)
    model = build_model(network_cfg("tests/tiny.yaml", "MODEL.FCOS.INFERENCE_TH", 0.0, *overrides)).eval()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not name.endswith("sizes_of_interest"):
            tensor.add_(torch.rand_like(tensor) * 0.01)
    return model


class Body(nn.Module):
    """The backbone of a config, under its name in a network."""

    def __init__(self, *overrides: Any) -> None:
        super().__init__()
        cfg = network_cfg("configs/coco/boxinst_R_50_1x.yaml", "MODEL.DEVICE", "cpu", *overrides)
        self.register_buffer("pixel_mean", torch.tensor(cfg.MODEL.PIXEL_MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(cfg.MODEL.PIXEL_STD).view(-1, 1, 1), persistent=False)
        self.backbone = build_backbone(cfg)


def saved(tmp_path: Path, state: Any, name: str = "weights.pth") -> str:
    """Save a state dict with torch, and return the path."""
    torch.save({"model": state}, tmp_path / name)
    return str(tmp_path / name)


def pickled(tmp_path: Path, content: Any) -> str:
    """Pickle an object, and return the path."""
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(content, protocol=2))
    return str(path)


def published_names(classes: int, mask_channels: int, filters: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the published R-50 checkpoints, from their description."""
    names: dict[str, tuple[int, ...]] = {"mask_head.sizes_of_interest": (5,), "mask_head._iter": (1,)}

    def layer(name: str, *shape: int, bias: bool = True, norm: tuple[str, ...] = ()) -> None:
        names[f"{name}.weight"] = shape
        if bias:
            names[f"{name}.bias"] = shape[:1]
        for part in norm:
            names[part] = () if part.endswith("tracked") else shape[:1]

    frozen = ("weight", "bias", "running_mean", "running_var")

    def conv(name: str, *shape: int) -> None:
        layer(f"backbone.bottom_up.{name}", *shape, bias=False)
        names.update({f"backbone.bottom_up.{name}.norm.{part}": shape[:1] for part in frozen})

    conv("stem.conv1", 64, 3, 7, 7)
    before = 64
    for stage, blocks in zip((2, 3, 4, 5), (3, 4, 6, 3), strict=True):
        width = 64 * 2 ** (stage - 2)
        for block in range(blocks):
            prefix = f"res{stage}.{block}"
            if block == 0:
                conv(f"{prefix}.shortcut", 4 * width, before, 1, 1)
            conv(f"{prefix}.conv1", width, before, 1, 1)
            conv(f"{prefix}.conv2", width, width, 3, 3)
            conv(f"{prefix}.conv3", 4 * width, width, 1, 1)
            before = 4 * width
    for level, channels in ((3, 512), (4, 1024), (5, 2048)):
        layer(f"backbone.fpn_lateral{level}", 256, channels, 1, 1)
        layer(f"backbone.fpn_output{level}", 256, 256, 3, 3)
    for level in (6, 7):
        layer(f"backbone.top_block.p{level}", 256, 256, 3, 3)
    head = "proposal_generator.fcos_head"
    for tower in ("cls_tower", "bbox_tower"):
        for number in range(4):
            layer(f"{head}.{tower}.{3 * number}", 256, 256, 3, 3)
            layer(f"{head}.{tower}.{3 * number + 1}", 256)
    layer(f"{head}.cls_logits", classes, 256, 3, 3)
    layer(f"{head}.bbox_pred", 4, 256, 3, 3)
    layer(f"{head}.ctrness", 1, 256, 3, 3)
    names.update({f"{head}.scales.{level}.scale": (1,) for level in range(5)})
    layer("controller", filters, 256, 3, 3)
    layers = [(f"refine.{level}", 256) for level in range(3)] + [(f"tower.{number}", 128) for number in range(4)]
    for name, width in layers:
        layer(f"mask_branch.{name}.0", 128, width, 3, 3, bias=False)
        layer(f"mask_branch.{name}.1", 128)
        names.update({f"mask_branch.{name}.1.{part}": (128,) for part in ("running_mean", "running_var")})
        names[f"mask_branch.{name}.1.num_batches_tracked"] = ()
    layer("mask_branch.tower.4", mask_channels, 128, 1, 1)
    return names
