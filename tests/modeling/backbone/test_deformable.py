"""Deformable ResNet: values against loops, and Detectron2's names, shapes and stages."""

import math

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone, build_resnet_backbone
from detectron2.modeling.backbone.resnet import BottleneckBlock, DeformBottleneckBlock
from torch import Tensor, nn

from depthbox import add_depthbox_config
from depthbox.modeling.backbone import DeformableBottleneck, DeformableConv2d, build_deformable_resnet


def make_plain(seed=0, **options):
    torch.manual_seed(seed)
    options = {"bottleneck_channels": 4, "norm": "BN", **options}
    block = BottleneckBlock(4, 8, **options).double().eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return block


def read_between(image: Tensor, y: float, x: float) -> Tensor:
    """Return the values (C,) of a map (C, H, W) between four pixels; it is zero outside."""
    y0, x0 = math.floor(y), math.floor(x)
    value = torch.zeros(len(image), dtype=image.dtype)
    for row in (y0, y0 + 1):
        for column in (x0, x0 + 1):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                value += image[:, row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return value


def loops(x: Tensor, field: Tensor, conv: nn.Conv2d, modulated: bool, groups: int) -> Tensor:
    """Compute the deformable convolution of one image in loops; ``field`` is the output of conv2_offset."""
    (stride, _), (padding, _), (dilation, _) = conv.stride, conv.padding, conv.dilation
    out = torch.zeros((1, conv.out_channels, *field.shape[2:]), dtype=x.dtype)
    per_deformable, per_group = x.shape[1] // groups, x.shape[1] // conv.groups
    for row in range(out.shape[2]):
        for column in range(out.shape[3]):
            for k in range(9):
                read = torch.zeros(x.shape[1], dtype=x.dtype)
                for g in range(groups):
                    dy, dx = field[0, 2 * (9 * g + k) : 2 * (9 * g + k) + 2, row, column].tolist()
                    y = row * stride - padding + k // 3 * dilation + dy
                    channels = slice(g * per_deformable, (g + 1) * per_deformable)
                    value = read_between(x[0], y, column * stride - padding + k % 3 * dilation + dx)[channels]
                    mask = field[0, 18 * groups + 9 * g + k, row, column].sigmoid() if modulated else 1.0
                    read[channels] = value * mask
                for o in range(conv.out_channels):
                    first = o // (conv.out_channels // conv.groups) * per_group
                    out[0, o, row, column] += conv.weight[o, :, k // 3, k % 3] @ read[first : first + per_group]
    return out


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize(
    ("groups", "options"),
    [(1, {}), (2, {"stride": 2}), (4, {"num_groups": 2, "dilation": 2}), (1, {"stride": 2, "stride_in_1x1": True})],
)
@torch.no_grad()
def test_values_are_those_of_the_loops(modulated, groups, options):
    block = DeformableBottleneck(make_plain(**options), modulated=modulated, groups=groups).double().eval()
    nn.init.normal_(block.conv2_offset.weight, std=0.3)
    nn.init.normal_(block.conv2_offset.bias)
    x = torch.randn(1, 4, 7, 6, dtype=torch.float64)
    inner = block.conv1(x).relu()
    field = block.conv2_offset(inner)
    assert field[:, : 18 * groups].abs().max() > 2  # samples beyond the border too
    wanted = block.conv3(block.conv2.norm(loops(inner, field, block.conv2, modulated, groups)).relu())
    wanted = (wanted + block.shortcut(x)).relu()
    assert torch.allclose(block(x), wanted, atol=1e-12)


@pytest.mark.parametrize("modulated", [False, True])
@torch.no_grad()
def test_the_initial_block_equals_the_plain_block(modulated):
    plain, source = make_plain(stride=2), make_plain(stride=2)
    if modulated:
        plain.conv2.weight *= 0.5  # the mask is sigmoid(0)
    x = torch.randn(2, 4, 8, 6, dtype=torch.float64)
    block = DeformableBottleneck(source, modulated=modulated, groups=2).double().eval()
    assert torch.allclose(block(x), plain(x), atol=1e-12)


@pytest.mark.parametrize("modulated", [False, True])
def test_gradients_reach_every_parameter_from_the_start(modulated):
    block = DeformableBottleneck(make_plain(), modulated=modulated).double()
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    block(x).square().sum().backward()
    for name, parameter in [("x", x), *block.named_parameters()]:
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_gradients_are_right():
    conv = DeformableConv2d(2, 2, 3, padding=1, bias=True).double()
    x = torch.randn(1, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    # Coordinates away from the pixel centers, at which bilinear interpolation is not differentiable.
    offset = (torch.randint(-2, 2, (1, 18, 4, 3)) + 0.2 + 0.6 * torch.rand(1, 18, 4, 3)).double().requires_grad_()
    mask = torch.rand(1, 9, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, (x, offset, mask))


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("channels", [4, 8])  # with a shortcut of its own, and without
def test_names_and_shapes_are_those_of_detectron2(modulated, channels):
    options = {"bottleneck_channels": 4, "norm": "BN"}
    theirs = DeformBottleneckBlock(channels, 8, deform_modulated=modulated, deform_num_groups=2, **options)
    mine = DeformableBottleneck(BottleneckBlock(channels, 8, **options), modulated=modulated, groups=2)
    shapes = {name: value.shape for name, value in mine.state_dict().items()}
    assert shapes == {name: value.shape for name, value in theirs.state_dict().items()}
    assert shapes["conv2_offset.weight"] == ((54 if modulated else 36), 4, 3, 3)


def make_cfg(**keys):
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.merge_from_file("configs/Base-DepthBox.yaml")
    cfg.MODEL.BACKBONE.NAME = "build_depthbox_resnet_fpn_backbone"
    cfg.MODEL.FPN.OUT_CHANNELS = 8
    node = cfg.MODEL.RESNETS
    node.DEPTH, node.WIDTH_PER_GROUP, node.STEM_OUT_CHANNELS, node.RES2_OUT_CHANNELS = 50, 4, 4, 8
    node.DEFORM_ON_PER_STAGE = [False, True, True, True]
    node.DEFORM_MODULATED = True
    for key, value in keys.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return cfg


def describe(network):
    """Return a description of each layer with parameters, by name."""
    result = {}
    for name, module in network.named_modules():
        parameters = {key: (p.shape, p.requires_grad) for key, p in module.named_parameters(recurse=False)}
        buffers = {key: b.shape for key, b in module.named_buffers(recurse=False)}
        if parameters or buffers:
            # Detectron2's modulated layer stores numbers instead of pairs.
            pairs = [getattr(module, key, None) for key in ("stride", "padding", "dilation")]
            pairs = [(value, value) if isinstance(value, int) else value for value in pairs]
            result[name] = (parameters, buffers, pairs, getattr(module, "groups", None))
    return result


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"MODEL__BACKBONE__FREEZE_AT": 3, "MODEL__RESNETS__NORM": "BN", "MODEL__RESNETS__DEFORM_NUM_GROUPS": 2},
        {"MODEL__RESNETS__RES5_DILATION": 2, "MODEL__RESNETS__STRIDE_IN_1X1": False, "MODEL__RESNETS__NUM_GROUPS": 2},
        {"MODEL__RESNETS__DEFORM_MODULATED": False, "MODEL__RESNETS__OUT_FEATURES": ["res2", "res3"]},
    ],
    ids=["modulated", "frozen", "dilated", "short"],
)
def test_network_equals_detectron2s_except_for_the_operator(keys):
    cfg = make_cfg(**keys)
    cfg.freeze()
    mine, theirs = (build(cfg, ShapeSpec(channels=3)) for build in (build_deformable_resnet, build_resnet_backbone))
    assert describe(mine) == describe(theirs)
    assert mine.output_shape() == theirs.output_shape()
    assert any(isinstance(module, DeformableBottleneck) for module in mine.modules())
    mine.load_state_dict(theirs.state_dict())


def test_the_builder_uses_it_and_trains():
    backbone = build_backbone(make_cfg())
    kinds = {name: {type(block) for block in getattr(backbone.bottom_up, name)} for name in ("res2", "res3", "res5")}
    assert kinds == {"res2": {BottleneckBlock}, "res3": {DeformableBottleneck}, "res5": {DeformableBottleneck}}
    features = backbone(torch.randn(2, 3, 64, 64))
    assert [tuple(features[f"p{i}"].shape[2:]) for i in range(3, 8)] == [(8, 8), (4, 4), (2, 2), (1, 1), (1, 1)]
    sum(f.square().mean() for f in features.values()).backward()
    missing = [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
    assert backbone.bottom_up.res5[2].conv2_offset.weight.grad.abs().sum() > 0


def test_empty_batch_stays_on_the_graph():
    backbone = build_backbone(make_cfg())
    features = backbone(torch.zeros(0, 3, 64, 64))
    assert features["p3"].shape == (0, 8, 8, 8)
    sum(f.sum() for f in features.values()).backward()
    assert backbone.bottom_up.res3[0].conv2_offset.weight.grad is not None


@pytest.mark.parametrize("modulated", [False, True])
def test_half_precision(modulated):
    block = DeformableBottleneck(make_plain(), modulated=modulated).float()
    nn.init.normal_(block.conv2_offset.weight, std=0.2)
    x = torch.randn(2, 4, 8, 8)
    exact = block(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = block(x)
        assert F.relu(block.conv1(x)).dtype == torch.bfloat16
    assert torch.isfinite(out).all() and (out - exact).abs().max() < 0.05 * exact.abs().max()
    out.float().sum().backward()
    assert torch.isfinite(block.conv2_offset.weight.grad).all() and block.conv2.weight.grad.dtype == torch.float32


def test_channels_last_changes_nothing():
    block = DeformableBottleneck(make_plain(), modulated=True).double().eval()
    nn.init.normal_(block.conv2_offset.weight, std=0.3)
    x = torch.randn(2, 4, 8, 6, dtype=torch.float64)
    plain = block(x)
    laid_out = block.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(plain, laid_out, atol=1e-12)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"MODEL__RESNETS__DEPTH": 18}, "DEPTH 50 or more"),
        ({"MODEL__RESNETS__DEFORM_NUM_GROUPS": 3}, "DEFORM_NUM_GROUPS = 3"),
        ({"MODEL__RESNETS__DEFORM_ON_PER_STAGE": [True, True]}, "one entry for each"),
    ],
)
def test_faults_are_named(keys, message):
    with pytest.raises(ValueError, match=message):
        build_deformable_resnet(make_cfg(**keys), ShapeSpec(channels=3))
