"""Networks of timm: Swin's windows at any size, and gradients of all parameters."""

import copy
import math

import pytest
import timm
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone
from timm.layers import DropPath
from torch import Tensor, nn

from depthbox import add_depthbox_config
from depthbox.modeling.backbone import TimmBackbone

SWIN = "swin_tiny_patch4_window7_224"
SMALL = {"depths": (1, 1, 1, 1), "embed_dim": 24, "num_heads": (1, 2, 2, 4)}
PAIRS = {**SMALL, "depths": (2, 1, 1, 2)}  # the second block of a stage has shifted windows


def make_swin(name=SWIN, **keys):
    torch.manual_seed(0)
    options = {**SMALL, "drop_path_rate": 0.0, **keys.pop("options", {})}
    return TimmBackbone(name, options=options, **keys)


def cells(size: int, window: int, shift: int) -> list[range]:
    """Return the windows along one axis, split where the shift would join opposite borders, with padding at the end."""
    filled = math.ceil(size / window) * window
    starts = sorted({0, *range(shift, filled, window)})
    return [range(a, b) for a, b in zip(starts, [*starts[1:], filled], strict=True)]


def attention_in_loops(block: nn.Module, x: Tensor, window: int, shift: int) -> Tensor:
    """Compute windowed attention of normalized tokens (1, H, W, C) window by window, with zeros beyond the image."""
    _, height, width, channels = x.shape
    heads, dim = block.attn.num_heads, channels // block.attn.num_heads
    out = torch.zeros_like(x)
    for rows in cells(height, window, shift):
        for columns in cells(width, window, shift):
            places = [(r, c) for r in rows for c in columns]
            zero = x.new_zeros(channels)
            tokens = torch.stack([x[0, r, c] if r < height and c < width else zero for r, c in places])
            q, k, v = block.attn.qkv(tokens).reshape(len(places), 3, heads, dim).permute(1, 2, 0, 3)
            apart = [[(a[0] - b[0], a[1] - b[1]) for b in places] for a in places]
            index = [[(dy + window - 1) * (2 * window - 1) + dx + window - 1 for dy, dx in line] for line in apart]
            bias = block.attn.relative_position_bias_table[torch.tensor(index)].permute(2, 0, 1)
            mixed = (q @ k.transpose(1, 2) / math.sqrt(dim) + bias).softmax(-1) @ v
            values = block.attn.proj(mixed.permute(1, 0, 2).reshape(len(places), channels))
            for (r, c), value in zip(places, values, strict=True):
                if r < height and c < width:
                    out[0, r, c] = value
    return out


@pytest.mark.parametrize("size", [(7, 14), (10, 12), (3, 17), (8, 6)])
@pytest.mark.parametrize("stage", [0, 3])
@torch.no_grad()
def test_swin_attends_within_its_windows(size, stage):
    network = make_swin(options=PAIRS).double().eval().network
    blocks = network[f"layers_{stage}"].blocks
    for block, shift in zip(blocks, (0, 3), strict=True):
        nn.init.normal_(block.attn.relative_position_bias_table)
        nn.init.normal_(block.attn.qkv.bias)
        nn.init.normal_(block.norm1.bias)
        x = torch.randn(1, *size, block.dim, dtype=torch.float64)
        y = x + attention_in_loops(block, block.norm1(x), window=7, shift=shift)
        assert torch.allclose(block(x), y + block.mlp(block.norm2(y)), atol=1e-9)


@pytest.mark.parametrize("name", [SWIN, "swinv2_tiny_window8_256"])
@torch.no_grad()
def test_opposite_borders_do_not_interact(name):
    block = make_swin(name, options=PAIRS).eval().network["layers_0"].blocks[1]
    assert any(block.shift_size)
    x = torch.randn(1, 20, 23, 24)
    changed = x.clone()
    changed[:, -1], changed[:, :, -1] = 5.0, 5.0
    difference = (block(x) - block(changed)).abs().sum((0, 3))
    assert difference[:10, :10].max() == 0 and difference[-1].min() > 0


@torch.no_grad()
def test_whole_windows_equal_timms():
    mine = make_swin(options=PAIRS, output_norm=False).eval()
    options = {**PAIRS, "strict_img_size": False, "always_partition": True}
    theirs = timm.create_model(SWIN, features_only=True, out_indices=(1, 2, 3), **options).eval()
    theirs.load_state_dict(mine.network.state_dict())
    images = torch.randn(1, 3, 224, 224)
    for a, b in zip(mine(images).values(), theirs(images), strict=True):
        assert torch.equal(a, b.permute(0, 3, 1, 2))


@torch.no_grad()
def test_sizes_may_change_from_call_to_call():
    network = make_swin(options=PAIRS).eval()
    first = torch.randn(2, 3, 96, 160)
    before = network(first)
    for height, width in ((32, 32), (256, 64), (64, 288)):
        features = network(torch.randn(1, 3, height, width))
        for name, stride in (("res3", 8), ("res4", 16), ("res5", 32)):
            assert features[name].shape[2:] == (height // stride, width // stride)
            assert network.output_shape()[name].stride == stride
    after = network(first)
    alone = network(first[1:])
    for name, feature in before.items():
        assert torch.equal(feature, after[name])
        assert torch.allclose(feature[1:], alone[name], atol=1e-5)


def test_a_map_as_high_as_it_has_channels_is_not_turned():
    network = make_swin(output_norm=False).eval()
    images = torch.randn(1, 3, 48 * 8, 32)
    feature = network(images)["res3"]
    assert feature.shape == (1, 48, 48, 4)
    assert torch.equal(feature, network.network(images)[0].permute(0, 3, 1, 2))


def test_swin_outputs_are_normalized():
    images = torch.randn(1, 3, 64, 96)
    normed, plain = make_swin().eval(), make_swin(output_norm=False).eval()
    for name, feature in normed(images).items():
        wanted = nn.functional.layer_norm(plain(images)[name].permute(0, 2, 3, 1), (feature.shape[1],))
        assert torch.allclose(feature.permute(0, 2, 3, 1), wanted, atol=1e-5)
    assert not any("output_norms" in key for key in plain.state_dict())
    assert not any("output_norms" in key for key in TimmBackbone("resnet10t").state_dict())
    feature = TimmBackbone("resnet10t", output_norm=True)(images)["res4"]
    assert feature.shape == (1, 256, 4, 6)
    assert torch.allclose(feature.mean(1), torch.zeros(1, 4, 6), atol=1e-5)


@pytest.mark.parametrize(
    "name", [SWIN, "swinv2_tiny_window8_256", "mobilenetv2_050", "regnetx_002", "resnet10t", "convnext_atto"]
)
def test_every_parameter_gets_a_gradient(name):
    network = make_swin(name, options=PAIRS) if "swin" in name else TimmBackbone(name)
    for size in ((64, 96), (32, 160)):
        network.zero_grad()
        sum(f.square().sum() + f.sum() for f in network(torch.randn(2, 3, *size)).values()).backward()
        assert [key for key, p in network.named_parameters() if p.grad is None] == []


def test_half_precision_and_copies():
    network = make_swin(options=PAIRS).eval()
    twin = copy.deepcopy(network)
    images = torch.randn(1, 3, 64, 96)
    exact = network(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for name, feature in twin(images).items():
            assert (feature - exact[name]).abs().mean() < 0.05
    for parameter in twin.parameters():
        nn.init.zeros_(parameter)
    assert twin(images)["res5"].abs().max() == 0 and torch.equal(network(images)["res5"], exact["res5"])


@pytest.mark.parametrize(
    ("name", "indices", "first", "last"),
    [
        ("regnetx_002", (2, 3, 4), "stem.conv.weight", "s4.b7.conv3.bn.num_batches_tracked"),
        ("mobilenetv2_100", (2, 3, 4), "conv_stem.weight", "blocks.6.0.bn3.num_batches_tracked"),
    ],
)
def test_the_names_of_the_weights_are_stable(name, indices, first, last, monkeypatch):
    calls, create = [], timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: calls.append(a) or create(*a, **k))
    mine = TimmBackbone(name)
    assert calls == [(name,)]
    keys = list(mine.state_dict())
    assert keys == [f"network.{k}" for k in create(name, features_only=True, out_indices=indices).state_dict()]
    assert (keys[0], keys[-1]) == (f"network.{first}", f"network.{last}")


def test_networks_with_strides_beyond_32_are_truncated():
    network = TimmBackbone("selecsls42")
    assert [s.stride for s in network.output_shape().values()] == [8, 16, 32]
    assert network.network.feature_info.info[-1]["reduction"] == 64
    features = network(torch.randn(1, 3, 64, 64))
    assert [f.shape[2] for f in features.values()] == [8, 4, 2]
    sum(f.sum() for f in features.values()).backward()
    assert [key for key, p in network.named_parameters() if p.grad is None] == []


def build(*overrides):
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.merge_from_file("configs/Base-DepthBox.yaml")
    cfg.MODEL.BACKBONE.NAME = "build_timm_fpn_backbone"
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.merge_from_list(["MODEL.TIMM.NAME", SWIN, *overrides])
    return build_backbone(cfg)


def test_options_reach_timm():
    options = "['depths', (2, 1, 1, 2), 'embed_dim', 24, 'num_heads', (1, 2, 2, 4), 'drop_path_rate', 0.3]"
    network = build("MODEL.TIMM.OPTIONS", options, "MODEL.TIMM.FREEZE_STAGES", 2).bottom_up
    rates = [module.drop_prob for module in network.modules() if isinstance(module, DropPath)]
    assert max(rates) == pytest.approx(0.3) and len(rates) >= 6
    assert [len(network.network[f"layers_{i}"].blocks) for i in range(4)] == [2, 1, 1, 2]
    frozen = {name.split(".")[1] for name, p in network.named_parameters() if not p.requires_grad}
    trained = {name.split(".")[1] for name, p in network.named_parameters() if p.requires_grad}
    assert frozen == {"patch_embed", "layers_0"} and not frozen & trained
    with pytest.raises(ValueError, match="ends with a key"):
        build("MODEL.TIMM.OPTIONS", "['drop_path_rate']")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hf-hub:someone/model", {}),
        ("local-dir:model", {}),
        ("resnet18", {"checkpoint_path": "evil.pth"}),
        ("resnet18", {"pretrained_cfg_overlay": {"url": "http://127.0.0.1/evil.pth"}}),
    ],
)
def test_networks_of_other_places_are_refused(name, options):
    with pytest.raises(ValueError, match="reads a network from another place"):
        TimmBackbone(name, options=options)
