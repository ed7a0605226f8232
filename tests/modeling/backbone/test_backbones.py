"""Backbones: five levels at the right strides, for any input size."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone

from depthbox import add_depthbox_config
from depthbox.modeling.backbone import TimmBackbone


def build(name, *overrides):
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.merge_from_file("configs/Base-DepthBox.yaml")
    cfg.MODEL.BACKBONE.NAME = name
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.merge_from_list(list(overrides))
    return build_backbone(cfg)


@pytest.mark.parametrize(
    "overrides",
    [
        ("build_depthbox_resnet_fpn_backbone", "MODEL.RESNETS.DEPTH", 50),
        ("build_timm_fpn_backbone", "MODEL.TIMM.NAME", "mobilenetv2_050"),
        ("build_timm_fpn_backbone", "MODEL.TIMM.NAME", "resnet10t"),
        ("build_timm_fpn_backbone", "MODEL.TIMM.NAME", "swin_tiny_patch4_window7_224"),
    ],
    ids=lambda overrides: str(overrides[-1]),
)
def test_five_levels_at_any_size(overrides):
    backbone = build(*overrides).eval()
    shapes = backbone.output_shape()
    assert [shapes[f"p{i}"].stride for i in range(3, 8)] == [8, 16, 32, 64, 128]
    with torch.no_grad():
        features = backbone(torch.randn(1, 3, 96, 160))
    sizes = [tuple(features[f"p{i}"].shape) for i in range(3, 8)]
    assert sizes == [(1, 16, 12, 20), (1, 16, 6, 10), (1, 16, 3, 5), (1, 16, 2, 3), (1, 16, 1, 2)]


def test_p6_comes_from_p5():
    backbone = build("build_depthbox_resnet_fpn_backbone", "MODEL.RESNETS.DEPTH", 50)
    assert backbone.top_block.in_feature == "p5" and backbone.top_block.p6.in_channels == 16


def test_frozen_norm_and_stages_do_not_train():
    network = TimmBackbone("mobilenetv2_050", freeze_norm=True, freeze_stages=2).train()
    before = {name: value.clone() for name, value in network.named_buffers()}
    images = torch.randn(2, 3, 64, 64)
    sum(x.sum() for x in network(images).values()).backward()
    for name, value in network.named_buffers():
        assert torch.equal(value, before[name]), name
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    trained = {name for name, p in network.named_parameters() if p.grad is not None}
    assert "network.conv_stem.weight" in frozen and any("blocks.1" in name and "conv" in name for name in frozen)
    assert any("blocks.2" in name and "conv" in name for name in trained)
    assert not frozen & trained


def test_norm_layers_keep_their_activation():
    torch.manual_seed(0)
    network = TimmBackbone("mobilenetv2_050")
    torch.manual_seed(0)
    frozen = TimmBackbone("mobilenetv2_050", freeze_norm=True)
    images = torch.randn(1, 3, 64, 64)
    for mine, theirs in zip(frozen(images).values(), network.eval()(images).values(), strict=True):
        assert torch.equal(mine, theirs)


def test_weights_are_read_and_faults_named(tmp_path):
    torch.manual_seed(1)
    source = TimmBackbone("mobilenetv2_050").network.state_dict()
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in source.items()}, tmp_path / "w.pth")
    loaded = TimmBackbone("mobilenetv2_050", weights=str(tmp_path / "w.pth")).network.state_dict()
    assert torch.equal(loaded["conv_stem.weight"], source["conv_stem.weight"].half().float())
    with pytest.raises(FileNotFoundError, match=r"MODEL\.TIMM\.WEIGHTS"):
        TimmBackbone("mobilenetv2_050", weights=str(tmp_path / "none.pth"))
    torch.save({"conv_stem.weight": source["conv_stem.weight"]}, tmp_path / "short.pth")
    with pytest.raises(ValueError, match=r"short\.pth lacks"):
        TimmBackbone("mobilenetv2_050", weights=str(tmp_path / "short.pth"))


def test_networks_without_the_strides_are_refused():
    with pytest.raises(ValueError, match="strides"):
        TimmBackbone("vit_tiny_patch16_224")
