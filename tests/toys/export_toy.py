"""A small network with detections to export, and images of several shapes."""

from dataclasses import dataclass

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from numpy.typing import NDArray

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.export import ExportGraph
from depthbox.modeling.meta_arch.depthbox import DepthBox

WORDS = [
    *("MODEL.TIMM.NAME", "test_resnet", "MODEL.FPN.OUT_CHANNELS", "32", "MODEL.CONDINST.MASK_BRANCH.CHANNELS", "16"),
    *("MODEL.FCOS.NUM_CLS_CONVS", "1", "MODEL.FCOS.NUM_BOX_CONVS", "1", "MODEL.CONDINST.MASK_BRANCH.NUM_CONVS", "1"),
    *("MODEL.FCOS.PRE_NMS_TOPK", "100", "TEST.DETECTIONS_PER_IMAGE", "20", "INPUT.FORMAT", "BGR"),
    *("MODEL.DEPTH.LAYER", "True", "INPUT.DEPTH.ENABLED", "True", "MODEL.PIXEL_MEAN", "[90.0, 120.0, 140.0]"),
    *("INPUT.MIN_SIZE_TEST", "96", "INPUT.MAX_SIZE_TEST", "192"),
]
# (height, width) of the network's input and of the result: padding on both sides, no padding, single cells on coarse
# levels, larger and smaller results.
SHAPES = [((100, 130), (200, 260)), ((64, 96), (64, 96)), ((160, 224), (75, 101)), ((33, 20), (300, 177))]


@dataclass(frozen=True)
class Exported:
    """A network and its ONNX model."""

    model: DepthBox
    graph: ExportGraph
    content: bytes


def config(*words: str) -> CfgNode:
    return load_config(add_depthbox_config, "tests/tiny.yaml", [*WORDS, *words])


def random_network(cfg: CfgNode) -> DepthBox:
    """Return a network of random weights with various boxes and masks."""
    torch.manual_seed(3)
    model = build_model(cfg).eval()
    assert isinstance(model, DepthBox)
    with torch.no_grad():
        for parameter in model.proposal_generator.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
        model.proposal_generator.fcos_head.bbox_pred.bias.fill_(2.0)
        model.proposal_generator.fcos_head.cls_logits.bias.fill_(-1.0)
        torch.nn.init.normal_(model.controller.weight, std=0.03)
        torch.nn.init.normal_(model.controller.bias, std=0.3)
    return model


def smooth_image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return an image of random colors, smooth over about 8 pixels, so that no two locations are equal."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((1, 3, height // 8 + 2, width // 8 + 2), generator=generator) * 255
    image = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return image[0].permute(1, 2, 0).byte().numpy()
