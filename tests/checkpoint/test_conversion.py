"""Weights of AdelaiDet, MSRA, Detectron2 and torchvision: tensor names, outputs, and the load report."""

import logging
import re

import numpy as np
import pytest
import torch
import torchvision
from detectron2.modeling import build_model
from torch import nn
from weights_toy import Body, detector, network_cfg, pickled, published_names, saved

from depthbox.checkpoint import weights
from depthbox.checkpoint.conversion import convert_names
from depthbox.checkpoint.weights import load_weights

DEPTH = ("MODEL.DEPTH.LAYER", True, "MODEL.DEPTH.CONSISTENCY", True, "INPUT.DEPTH.ENABLED", True)
THIN = (
    "MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 16, "MODEL.RESNETS.WIDTH_PER_GROUP", 8
)  # fmt: skip


def with_names_of_adelaidet(state):
    """Return the state dict that AdelaiDet's checkpoint of the same network holds, in its order of modules."""
    result = {name: tensor for name, tensor in state.items() if not name.endswith(".scales")}
    for level, scale in enumerate(state["proposal_generator.fcos_head.scales"].tolist()):
        result[f"proposal_generator.fcos_head.scales.{level}.scale"] = torch.tensor([scale])
    result["mask_head._iter"] = torch.tensor([90000.0])
    return result


def outputs(model):
    image = torch.randint(0, 256, (3, 64, 96), generator=torch.Generator().manual_seed(5)).byte()
    with torch.no_grad():
        return model([{"image": image, "height": 64, "width": 96}])[0]["instances"].get_fields()


def test_checkpoint_of_adelaidet_gives_the_same_outputs(tmp_path, caplog):
    source, fresh = detector(seed=1), detector(seed=2)
    expected, before = outputs(source), outputs(fresh)
    assert len(expected["scores"]) > 10 and not torch.equal(expected["scores"], before["scores"])
    with caplog.at_level(logging.INFO):
        report = load_weights(fresh, saved(tmp_path, with_names_of_adelaidet(source.state_dict())))
    assert report.complete and report.share() == (len(source.state_dict()),) * 2
    assert report.layout == "AdelaiDet" and report.not_needed == ["mask_head._iter"] and not report.unexpected
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    for name, value in outputs(fresh).items():
        other = expected[name]
        assert torch.equal(getattr(value, "tensor", value), getattr(other, "tensor", other)), name


def test_checkpoint_of_adelaidet_starts_a_network_with_the_depth_layer(tmp_path, caplog):
    source, guided = detector(seed=1), detector(*DEPTH, seed=2)
    initial = guided.controller.weight[233:].clone()
    state = {f"module.{name}": tensor for name, tensor in with_names_of_adelaidet(source.state_dict()).items()}
    with caplog.at_level(logging.INFO):
        report = load_weights(guided, saved(tmp_path, state))
    assert report.complete and "9 filters of the depth layer" in caplog.text
    assert torch.equal(guided.controller.weight[:233], source.controller.weight)
    assert torch.equal(guided.controller.weight[233:], initial) and len(initial) == 9
    for name, tensor in source.state_dict().items():
        assert name.startswith("controller.") or torch.equal(guided.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("file", "mask_channels", "filters"), [("boxinst_R_50_1x", 16, 233), ("condinst_R_50_1x", 8, 169)]
)
def test_names_of_the_published_checkpoints_are_complete(file, mask_channels, filters):
    cfg = network_cfg(f"configs/coco/{file}.yaml", "MODEL.DEVICE", "meta")
    cfg.merge_from_list(["MODEL.FPN.OUT_CHANNELS", 256, "MODEL.CONDINST.MASK_BRANCH.CHANNELS", 128])
    own = build_model(cfg).state_dict()
    names = published_names(80, mask_channels, filters)
    converted = convert_names({name: torch.empty(shape, device="meta") for name, shape in names.items()}, own)
    assert {name: tuple(tensor.shape) for name, tensor in converted.state.items()} == {
        name: tuple(tensor.shape) for name, tensor in own.items()
    }
    assert converted.not_needed == ["mask_head._iter"]


def test_semantic_loss_head_is_not_needed(tmp_path):
    state = with_names_of_adelaidet(detector().state_dict())
    state |= {"mask_branch.seg_head.0.0.weight": torch.zeros(3), "mask_branch.logits.bias": torch.zeros(3)}
    report = load_weights(detector(), saved(tmp_path, state))
    assert report.complete and len(report.not_needed) == 3 and not report.unexpected


def test_other_classes_leave_the_class_layer_unchanged(tmp_path, caplog):
    source, fresh = detector(seed=1), detector("MODEL.FCOS.NUM_CLASSES", 3, seed=2)
    initial = fresh.proposal_generator.fcos_head.cls_logits.weight.clone()
    with caplog.at_level(logging.INFO):
        report = load_weights(fresh, saved(tmp_path, with_names_of_adelaidet(source.state_dict())))
    name = "proposal_generator.fcos_head.cls_logits"
    classes = source.proposal_generator.fcos_head.cls_logits.out_channels
    assert report.wrong_shape == {
        f"{name}.weight": ((classes, 32, 3, 3), (3, 32, 3, 3)),
        f"{name}.bias": ((classes,), (3,)),
    }
    assert torch.equal(fresh.proposal_generator.fcos_head.cls_logits.weight, initial)
    assert torch.equal(fresh.controller.weight, source.controller.weight)
    assert f"{name}.weight\n      {classes} x 32 x 3 x 3 in the file, 3 x 32 x 3 x 3 here" in caplog.text
    assert [record.levelname for record in caplog.records if record.name == weights.__name__] == ["WARNING"]


def with_names_of_msra(state, prefix="backbone.bottom_up."):
    """Return a ResNet-50 with names of Caffe2; the statistics of frozen norms are merged into scale and shift."""
    branches = {"shortcut": "branch1", "conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c"}
    result = {"fc1000_w": np.zeros((10, 4), np.float32), "fc1000_b": np.zeros(10, np.float32)}
    for name, tensor in state.items():
        found = re.fullmatch(re.escape(prefix) + r"(stem|res(\d)\.(\d+))\.(\w+)(\.norm)?\.(weight|bias)", name)
        if found:
            stem = "res_conv1" if found[5] else "conv1"
            block = stem if found[1] == "stem" else f"res{found[2]}_{found[3]}_{branches[found[4]]}"
            end = {"weight": "bn_s", "bias": "bn_b"}[found[6]] if found[5] else "w"
            result[f"{block}_{end}"] = tensor.numpy()
    result["conv1_w_momentum"] = np.zeros(3, np.float32)
    return result


@pytest.mark.parametrize("wrapped", [False, True], ids=["imagenet", "blobs"])
def test_pickle_of_msra(tmp_path, caplog, wrapped):
    torch.manual_seed(1)
    source, fresh = Body(*THIN), Body(*THIN)
    for name, tensor in source.state_dict().items():
        if name.endswith("running_var"):
            tensor.fill_(1)  # the value that Detectron2 uses if a file has none
    blobs = with_names_of_msra(source.state_dict())
    assert "res2_0_branch2a_bn_s" in blobs and len(blobs) == 53 * 3 + 3
    with caplog.at_level(logging.INFO):
        report = load_weights(fresh, pickled(tmp_path, {"blobs": blobs} if wrapped else blobs))
    image = torch.rand(1, 3, 64, 64)
    for a, b in zip(source.backbone.bottom_up(image).values(), fresh.backbone.bottom_up(image).values(), strict=True):
        assert torch.equal(a, b)
    assert not report.unexpected and sorted(report.not_needed) == ["fc1000.bias", "fc1000.weight"]
    assert len(report.loaded) == 53 * 3 and len(report.implied) == 53 * 2
    assert {name.split(".")[1] for name in report.missing} == {
        *(f"fpn_{kind}{level}" for kind in ("lateral", "output") for level in (3, 4, 5)),
        "top_block",
    }
    assert {record.levelname for record in caplog.records} == {"INFO"}, (
        "weights of a backbone are not a reason for a warning"
    )


def test_model_zoo_of_detectron2(tmp_path):
    source, fresh = detector(seed=1), detector(seed=2)
    arrays = {name: tensor.numpy() for name, tensor in source.state_dict().items()}
    arrays["pixel_mean"] = np.zeros((3, 1, 1), np.float32)
    report = load_weights(fresh, pickled(tmp_path, {"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    assert report.complete and report.not_needed == ["pixel_mean"]
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), fresh.state_dict().values(), strict=True)
    )


def test_names_that_are_suffixes(tmp_path):
    torch.manual_seed(1)
    source, fresh = Body(*THIN), Body(*THIN)
    short = {name: t.numpy() for name, t in source.backbone.bottom_up.state_dict().items()}
    short["stem.conv1.weight"] = short["stem.conv1.weight"][:4]
    content = {"model": short, "__author__": "torchvision", "matching_heuristics": True}
    report = load_weights(fresh, pickled(tmp_path, content))
    name = "backbone.bottom_up.stem.conv1.weight"
    assert report.wrong_shape == {name: ((4, 3, 7, 7), (8, 3, 7, 7))} and not report.unexpected
    assert len(report.loaded) == len(short) - 1
    torch.save(source.backbone.bottom_up.state_dict(), tmp_path / "bare.pth")
    assert len(load_weights(fresh, str(tmp_path / "bare.pth")).loaded) == len(short)


def test_resnet_of_torchvision_gives_the_same_features(tmp_path, caplog):
    torch.manual_seed(1)
    theirs = torchvision.models.resnet18().eval()
    for norm in (module for module in theirs.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    model = Body("MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64)
    report = load_weights(model, str(tmp_path / "resnet18.pth"))
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        x = theirs.layer2(theirs.layer1(theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))))
        found = model.backbone.bottom_up(image)
        torch.testing.assert_close(found["res3"], x)
        torch.testing.assert_close(found["res5"], theirs.layer4(theirs.layer3(x)))
    assert not report.unexpected and set(report.not_needed) >= {"fc.weight", "fc.bias"}
    assert "MODEL.PIXEL_STD [58.395, 57.12, 57.375]" in caplog.text and "STRIDE_IN_1X1" not in caplog.text


@pytest.mark.parametrize("norm", ["FrozenBN", "BN"])
def test_resnet_50_of_torchvision_is_complete(norm):
    overrides = ("MODEL.DEVICE", "meta", "MODEL.RESNETS.NORM", norm)
    with torch.device("meta"):
        own = Body(*overrides).state_dict()
        converted = convert_names(torchvision.models.resnet50().state_dict(), own)
    backbone = {name: tensor.shape for name, tensor in own.items() if ".bottom_up." in name}
    assert {name: tensor.shape for name, tensor in converted.state.items()} == backbone


def test_strides_of_torchvision_are_reported(tmp_path, caplog):
    model = Body(*THIN, "MODEL.PIXEL_MEAN", [123.675, 116.28, 103.53], "MODEL.PIXEL_STD", [58.395, 57.12, 57.375])
    weights._warn_of_other_inputs(logging.getLogger(weights.__name__), model)
    assert "MODEL.RESNETS.STRIDE_IN_1X1 False" in caplog.text and "PIXEL" not in caplog.text
