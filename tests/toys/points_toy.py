"""A small P2Seg and samples of colored squares with one point each."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Instances
from torch import nn

from depthbox import add_depthbox_config

# x0, y0, x1, y1 and class of each object of a scene; two of one class touch
SQUARES = (((4, 4, 20, 20), 0), ((20, 6, 34, 22), 0), ((40, 24, 58, 44), 1))
COLORS = ((200, 40, 40), (40, 60, 210))


def points_cfg(**overrides: Any) -> CfgNode:
    """Return the config of a small P2Seg with two classes; overrides are dotted keys with __ for dots."""
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.merge_from_file("tests/tiny.yaml")
    cfg.MODEL.META_ARCHITECTURE = "P2Seg"
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.MODEL.FPN.TOP_LEVELS = False
    cfg.MODEL.TIMM.FINEST_STRIDE = 4
    cfg.MODEL.TIMM.FREEZE_NORM = True
    node = cfg.MODEL.P2SEG
    node.NUM_CLASSES, node.HEAD_CHANNELS, node.AFFINITY_CHANNELS, node.MIN_AREA = 2, 16, 8, 10
    for key, value in overrides.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return cfg


def points_network(**overrides: Any) -> nn.Module:
    """Build the network with heads that predict something: their usual initial weights are near 0."""
    torch.manual_seed(0)
    network = build_model(points_cfg(**overrides))
    generator = torch.Generator().manual_seed(1)
    for name, parameter in network.heads.named_parameters():
        if name.endswith("weight"):
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


def points_sample(
    count: int = 3, size: tuple[int, int] = (48, 64), seed: int = 0, known_masks: int = 0
) -> dict[str, Any]:
    """Return a training sample with the first ``count`` squares, of which the first ones have masks."""
    height, width = size
    generator = torch.Generator().manual_seed(seed)
    image = torch.full((3, height, width), 90) + torch.randint(-9, 10, (3, height, width), generator=generator)
    class_map = torch.zeros(size, dtype=torch.uint8)
    seeds = torch.full(size, 255, dtype=torch.uint8)
    seeds[0], seeds[-1] = 0, 0
    owner = torch.zeros(size, dtype=torch.int32)
    points, regions = [], []
    for index, ((x0, y0, x1, y1), c) in enumerate(SQUARES[:count]):
        image[:, y0:y1, x0:x1] = torch.tensor(COLORS[c])[:, None, None]
        class_map[y0:y1, x0:x1] = c + 1
        points.append(((x0 + x1) / 2 + 0.5, (y0 + y1) / 2 - 1.5))
        seeds[int(points[-1][1]) - 1 : int(points[-1][1]) + 2, int(points[-1][0])] = c + 1
        regions.append((x0, y0, x1, y1) if index < known_masks else (0, 0, width, height))
        if index < known_masks:
            owner[y0:y1, x0:x1] = index + 1
    instances = Instances(size)
    instances.gt_classes = torch.tensor([c for _, c in SQUARES[:count]], dtype=torch.int64)
    instances.gt_points = torch.tensor(points, dtype=torch.float32).reshape(-1, 2)
    instances.gt_kinds = torch.tensor([2 * (index < known_masks) for index in range(count)], dtype=torch.int64)
    instances.gt_regions = torch.tensor(regions, dtype=torch.float32).reshape(-1, 4)
    sample = {"image": image.clamp(0, 255).byte(), "class_map": class_map, "seed_map": seeds, "instances": instances}
    return {**sample, "mask_owner": owner, "height": height, "width": width, "file_name": f"scene_{seed}.png"}
