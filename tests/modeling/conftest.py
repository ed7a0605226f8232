"""Fixtures of a small DepthBox and of synthetic batches."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from torch import nn

from depthbox import add_depthbox_config


def tiny_cfg(**overrides: Any) -> CfgNode:
    """Return the config of a small network; overrides are dotted keys with __ for dots."""
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.merge_from_file("tests/tiny.yaml")
    cfg.MODEL.FPN.OUT_CHANNELS = 32
    cfg.MODEL.CONDINST.MASK_BRANCH.CHANNELS = 16
    for key, value in overrides.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return cfg


@pytest.fixture
def make_cfg() -> Callable[..., CfgNode]:
    return tiny_cfg


@pytest.fixture
def make_model() -> Callable[..., nn.Module]:
    def make(**overrides: Any) -> nn.Module:
        torch.manual_seed(0)
        return build_model(tiny_cfg(**overrides))

    return make


@pytest.fixture
def make_input() -> Callable[..., dict[str, Any]]:
    def make(
        count: int, seed: int = 0, height: int = 64, width: int = 96, has_mask: list[bool] | None = None
    ) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(seed)
        low = torch.rand((count, 2), generator=generator) * torch.tensor([width / 2.0, height / 2.0])
        size = 12 + torch.rand((count, 2), generator=generator) * 20
        instances = Instances((height, width))
        instances.gt_boxes = Boxes(torch.cat((low, low + size), 1))
        instances.gt_classes = torch.randint(0, 8, (count,), generator=generator)
        masks = torch.zeros((count, height, width), dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(masks, instances.gt_boxes.tensor.round().int().tolist(), strict=True):
            mask[y0:y1, x0 : (x0 + x1) // 2] = True
        instances.gt_masks = BitMasks(masks)
        instances.gt_has_mask = torch.tensor(has_mask if has_mask is not None else [True] * count, dtype=torch.bool)
        image = torch.randint(0, 256, (3, height, width), generator=generator).byte()
        return {
            "image": image,
            "depth": torch.rand((1, height, width), generator=generator),
            "height": height,
            "width": width,
            "instances": instances,
            "image_id": seed,
            "file_name": str(seed),
        }

    return make
