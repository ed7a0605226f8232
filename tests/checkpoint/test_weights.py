"""Weights of other projects: names, load report, and refusal of code."""

import logging
import os
import pickle
import re

import numpy as np
import pytest
import torch
import torchvision
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone, build_model
from torch import nn

from depthbox import add_depthbox_config
from depthbox.checkpoint import weights
from depthbox.checkpoint.conversion import convert_names
from depthbox.checkpoint.safe_pickle import UnsafePickleError
from depthbox.checkpoint.weights import load_weights

DEPTH = ("MODEL.DEPTH.LAYER", True, "MODEL.DEPTH.CONSISTENCY", True, "INPUT.DEPTH.ENABLED", True)
THIN = (
    "MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 16, "MODEL.RESNETS.WIDTH_PER_GROUP", 8
)  # fmt: skip


def network_cfg(file, *overrides):
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.merge_from_file(file)
    cfg.merge_from_list(["MODEL.FPN.OUT_CHANNELS", 32, "MODEL.CONDINST.MASK_BRANCH.CHANNELS", 16, *overrides])
    return cfg


def detector(*overrides, seed=0):
    """Return a DepthBox with random values in every tensor."""
    torch.manual_seed(seed)
    model = build_model(network_cfg("tests/tiny.yaml", "MODEL.FCOS.INFERENCE_TH", 0.0, *overrides)).eval()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not name.endswith("sizes_of_interest"):
            tensor.add_(torch.rand_like(tensor) * 0.01)
    return model


class Body(nn.Module):
    """The backbone of a config, under its name in a network."""

    def __init__(self, *overrides):
        super().__init__()
        cfg = network_cfg("configs/coco/boxinst_R_50_1x.yaml", "MODEL.DEVICE", "cpu", *overrides)
        self.register_buffer("pixel_mean", torch.tensor(cfg.MODEL.PIXEL_MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(cfg.MODEL.PIXEL_STD).view(-1, 1, 1), persistent=False)
        self.backbone = build_backbone(cfg)


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


def saved(tmp_path, state, name="weights.pth"):
    torch.save({"model": state}, tmp_path / name)
    return str(tmp_path / name)


def pickled(tmp_path, content):
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(content, protocol=2))
    return str(path)


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


def published_names(classes, mask_channels, filters):
    """Return names and shapes of the published R-50 checkpoints, from their description."""
    names = {"mask_head.sizes_of_interest": (5,), "mask_head._iter": (1,)}

    def layer(name, *shape, bias=True, norm=()):
        names[f"{name}.weight"] = shape
        if bias:
            names[f"{name}.bias"] = shape[:1]
        for part in norm:
            names[part] = () if part.endswith("tracked") else shape[:1]

    frozen = ("weight", "bias", "running_mean", "running_var")

    def conv(name, *shape):
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
    blocks = [(f"refine.{level}", 256) for level in range(3)] + [(f"tower.{number}", 128) for number in range(4)]
    for block, channels in blocks:
        layer(f"mask_branch.{block}.0", 128, channels, 3, 3, bias=False)
        layer(f"mask_branch.{block}.1", 128)
        names.update({f"mask_branch.{block}.1.{part}": (128,) for part in ("running_mean", "running_var")})
        names[f"mask_branch.{block}.1.num_batches_tracked"] = ()
    layer("mask_branch.tower.4", mask_channels, 128, 1, 1)
    return names


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


def test_weights_of_another_network_are_reported(tmp_path, caplog):
    state = detector().state_dict()
    heads = {name: tensor for name, tensor in state.items() if not name.startswith("backbone.bottom_up.")}
    load_weights(detector(), saved(tmp_path, heads))
    assert re.search(r"These weights are not of this network: only \d+ of \d+ tensors of its backbone", caplog.text)
    other = saved(tmp_path, {"layers.0.blocks.0.weight": torch.zeros(3)})
    with pytest.raises(
        ValueError, match=r"none of the 1 tensors of .*weights\.pth fits .*layers\.0.*MODEL\.TIMM\.WEIGHTS"
    ):
        load_weights(detector(), other)


def test_report_fits_a_terminal(tmp_path, caplog):
    state = {name: tensor for name, tensor in detector().state_dict().items() if "tower" not in name}
    state |= {f"unknown.part{n}.weight": torch.zeros(2) for n in range(20)}
    model = detector("MODEL.FCOS.NUM_CLASSES", 3)
    with caplog.at_level(logging.INFO):
        report = load_weights(model, saved(tmp_path, state))
    text = str(report).replace(str(tmp_path), "")
    assert max(map(len, text.splitlines())) <= 90 and len(text.splitlines()) < 25
    count = len(model.state_dict())
    assert text.startswith(f"{len(report.loaded)} of {count} tensors loaded\n")
    assert len(report.loaded) + len(report.missing) + len(report.wrong_shape) + len(report.implied) == count
    assert "  in the file, unknown here: 20\n    unknown.* (20)" in text
    assert re.search(r"not in the file, at initial values: \d+\n +\S+_tower\.\* \(\d+\)", text)
    assert str(report) in caplog.text


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("form", ["pickle.pkl", "pickle.pth", "torch.pth", "torch.pkl", "torch_legacy.pth"])
def test_file_that_runs_code_is_refused(tmp_path, form):
    mark, path = tmp_path / "it_ran", tmp_path / form
    content = {"model": {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, "x": Touch(mark)}
    if form.startswith("torch"):
        torch.save(content, path, _use_new_zipfile_serialization="legacy" not in form)
        torch.load(path, weights_only=False)
    else:
        path.write_bytes(pickle.dumps({"model": {"w": np.zeros(2)}, "x": Touch(mark)}))
        pickle.loads(path.read_bytes())
    assert mark.exists(), "the payload works"
    mark.unlink()
    model = nn.Linear(3, 2)
    before = model.weight.clone()
    with pytest.raises(UnsafePickleError, match=rf"{form} is refused: it asks for \w+\.system.*another source"):
        load_weights(model, str(path))
    assert not mark.exists() and torch.equal(model.weight, before)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pth", b"", r"a\.pth cannot be read as a pickle of arrays"),
        ("a.pth", b"PK\x03\x04 half a file", r"a\.pth is not a sound checkpoint of torch"),
        ("a.pkl", b"\x80\x02}", r"a\.pkl cannot be read as a pickle of arrays"),
        ("a.pkl", pickle.dumps([1, 2]), r"a\.pkl holds a list, not a dict of weights"),
        ("a.pkl", pickle.dumps({"epoch": 3}), r"a\.pkl holds no weights: 'epoch' in it is of type int, not a tensor"),
        ("a.pkl", pickle.dumps({}), r"a\.pkl holds no weights: it is an empty dict"),
    ],
)
def test_files_without_weights(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_weights(nn.Linear(3, 2), str(tmp_path / name))


def test_url_is_downloaded_first(tmp_path, monkeypatch):
    source, model = nn.Linear(3, 2), nn.Linear(3, 2)
    path = saved(tmp_path, source.state_dict())
    places = {"https://example.org/w.pth": path, "https://example.org/gone.pth": str(tmp_path / "gone")}
    monkeypatch.setattr(weights.PathManager, "get_local_path", lambda address: places[address])
    assert load_weights(model, "https://example.org/w.pth").complete
    assert torch.equal(model.weight, source.weight)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_weights(model, "https://example.org/gone.pth")
    with pytest.raises(OSError, match=r"unknown\.pth cannot be fetched .*give its path"):
        load_weights(model, "https://example.org/unknown.pth")


def test_ambiguous_name_is_reported(tmp_path):
    model = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Linear(3, 2)})
    path = pickled(tmp_path, {"model": {"weight": np.zeros((2, 3), np.float32)}, "matching_heuristics": True})
    with pytest.raises(ValueError, match=r"weights\.pkl does not fit the network: Cannot match one checkpoint key"):
        load_weights(model, path)


def test_versions_of_modules_are_kept(tmp_path):
    """torch completes tensors that old versions of a module did not save, and needs the version numbers for that."""
    model = nn.Sequential(nn.BatchNorm1d(3))
    state = model.state_dict()
    del state["0.num_batches_tracked"]
    for versions, missing in ((state._metadata, ["0.num_batches_tracked"]), ({}, [])):
        state._metadata = versions
        assert load_weights(model, saved(tmp_path, state)).missing == missing
