"""Backbones with a level at stride 4: pyramids of ResNet and timm, and HRNet's finest branch."""

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_backbone

from depthbox import add_depthbox_config


def config(**overrides: object) -> CfgNode:
    cfg = get_cfg()
    add_depthbox_config(cfg)
    for key, value in overrides.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return cfg


def hrnet(name: str = "hrnet_w18_small", **overrides: object) -> torch.nn.Module:
    backbone = "build_timm_hrnet_backbone"
    return build_backbone(config(MODEL__BACKBONE__NAME=backbone, MODEL__TIMM__NAME=name, **overrides))


def test_hrnet_has_one_feature_and_no_parameter_without_gradient() -> None:
    backbone = hrnet()
    assert list(backbone.output_shape()) == ["res2"] and backbone.output_shape()["res2"].stride == 4
    (feature,) = backbone(torch.randn(1, 3, 64, 96)).values()
    assert feature.shape[2:] == (16, 24) and feature.shape[1] == backbone.output_shape()["res2"].channels
    feature.sum().backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []
    assert backbone.size_divisibility == 32


@pytest.mark.parametrize(("name", "channels"), [("hrnet_w18", 18), ("hrnet_w48", 48)])
def test_widths_of_hrnet(name: str, channels: int) -> None:
    with torch.device("meta"):
        assert hrnet(name).output_shape()["res2"].channels == channels


def test_other_networks_than_hrnet_are_refused() -> None:
    with pytest.raises(ValueError, match="MODEL.TIMM.NAME is 'mobilenetv2_100', but build_timm_hrnet_backbone"):
        hrnet("mobilenetv2_100")


PYRAMIDS = {
    "timm": {
        "MODEL__BACKBONE__NAME": "build_timm_fpn_backbone",
        "MODEL__TIMM__NAME": "regnetx_002",
        "MODEL__TIMM__FINEST_STRIDE": 4,
    },
    "resnet": {
        "MODEL__BACKBONE__NAME": "build_depthbox_resnet_fpn_backbone",
        "MODEL__RESNETS__OUT_FEATURES": ["res2", "res3", "res4", "res5"],
        "MODEL__FPN__IN_FEATURES": ["res2", "res3", "res4", "res5"],
    },
}


@pytest.mark.parametrize("kind", PYRAMIDS)
def test_pyramid_from_p2_without_top_levels(kind: str) -> None:
    with torch.device("meta"):
        backbone = build_backbone(config(MODEL__FPN__TOP_LEVELS=False, **PYRAMIDS[kind]))
        shapes = backbone.output_shape()
        features = backbone(torch.zeros(1, 3, 64, 64))
    assert {name: shape.stride for name, shape in shapes.items()} == {"p2": 4, "p3": 8, "p4": 16, "p5": 32}
    assert {name: 64 // feature.shape[2] for name, feature in features.items()} == {"p2": 4, "p3": 8, "p4": 16, "p5": 32}


def test_pyramid_of_the_detectors_keeps_its_names_and_values() -> None:
    torch.manual_seed(0)
    fine = build_backbone(config(**PYRAMIDS["timm"]))
    torch.manual_seed(0)
    usual = build_backbone(config(**{**PYRAMIDS["timm"], "MODEL__TIMM__FINEST_STRIDE": 8}))
    assert list(usual.output_shape()) == ["p3", "p4", "p5", "p6", "p7"]
    added = fine.state_dict().keys() - usual.state_dict().keys()
    assert added and all("2." in name for name in added)
    assert usual.state_dict().keys() <= fine.state_dict().keys()
