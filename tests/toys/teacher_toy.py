"""Fixtures of a small teacher and of batches with the teacher's view."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances

from depthbox import add_depthbox_config
from depthbox.modeling.meta_arch.depthbox import DepthBox


@pytest.fixture
def cfg() -> CfgNode:
    node = get_cfg()
    add_depthbox_config(node)
    node.merge_from_file("tests/tiny.yaml")
    node.merge_from_list(
        ["MODEL.FPN.OUT_CHANNELS", 32, "MODEL.CONDINST.MASK_BRANCH.CHANNELS", 16, "INPUT.DEPTH.ENABLED", True]
    )
    node.merge_from_list(["MODEL.DEPTH.LAYER", True, "MODEL.DISTILL.ENABLED", True, "MODEL.FCOS.INFERENCE_TH", 0.0])
    return node


@pytest.fixture
def teacher(cfg: CfgNode) -> DepthBox:
    torch.manual_seed(0)
    network = build_model(cfg).eval().requires_grad_(False)
    network.controller.bias[network.mask_head.num_mask_params - 1] = 1.0  # bias of the masks: they are not empty
    return network


@pytest.fixture
def sample() -> Callable[..., dict[str, Any]]:
    """Return a function that makes an image with boxes (xyxy), classes, depth, and a teacher's view of another size."""

    def make(boxes: list[list[float]], classes: list[int], scale: float | None = None) -> dict[str, Any]:
        height, width = 64, 96
        instances = Instances((height, width))
        instances.gt_boxes = Boxes(torch.tensor(boxes).view(-1, 4))
        instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
        x = {
            "image": torch.randint(0, 256, (3, height, width)).byte(),
            "depth": torch.rand(1, height, width),
            "height": height,
            "width": width,
            "file_name": "made_up.jpg",
            "instances": instances,
        }
        if scale is not None:
            size = (int(height * scale), int(width * scale))
            x["teacher_image"] = torch.randint(0, 256, (3, *size)).byte()
            x["teacher_depth"] = torch.rand(1, *size)
        return x

    return make
