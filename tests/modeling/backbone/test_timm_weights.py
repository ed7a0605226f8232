"""Weights of timm networks in the layouts of different files, and from an installed package."""

import pytest
import safetensors.torch
import timm
import torch

from depthbox.modeling.backbone import TimmBackbone, timm_weights

SWIN = "swin_tiny_patch4_window7_224"
SMALL = {"depths": (1, 1, 1, 1), "embed_dim": 24, "num_heads": (1, 2, 2, 4)}


def make_swin(name=SWIN, **keys):
    torch.manual_seed(0)
    options = {**SMALL, "drop_path_rate": 0.0, **keys.pop("options", {})}
    return TimmBackbone(name, options=options, **keys)


def saved(state, path, kind):
    if kind == "safetensors":
        safetensors.torch.save_file(state, path.with_suffix(".safetensors"))
        return str(path.with_suffix(".safetensors"))
    torch.save({"model": {"model": state}, "half": {k: v.half() for k, v in state.items()}}.get(kind, state), path)
    return str(path)


@pytest.mark.parametrize("kind", ["whole", "features", "half", "model", "safetensors"])
def test_weights_of_every_layout_are_read(kind, tmp_path):
    torch.manual_seed(3)
    whole = timm.create_model(SWIN, num_classes=11, **SMALL).state_dict()
    assert "layers.0.blocks.0.norm1.weight" in whole and "head.fc.weight" in whole
    features = timm.create_model(SWIN, features_only=True, **SMALL)
    wanted = {key.replace("layers.", "layers_"): value for key, value in whole.items()}
    features.load_state_dict({key: wanted[key] for key in features.state_dict()})
    path = saved(features.state_dict() if kind == "features" else whole, tmp_path / "w.pth", kind)
    loaded = make_swin(weights=path).network.state_dict()
    assert list(loaded) == list(features.state_dict())
    for key, value in loaded.items():
        assert value.dtype == torch.float32
        assert torch.allclose(value, wanted[key], rtol=1e-3 if kind == "half" else 0, atol=1e-6), key


def test_weights_that_do_not_fit_are_refused(tmp_path):
    state = timm.create_model(SWIN, **SMALL).state_dict()
    path = tmp_path / "w.pth"
    torch.save({k: v for k, v in state.items() if k != "layers.2.blocks.0.attn.qkv.weight"}, path)
    with pytest.raises(ValueError, match=r"w\.pth lacks 1 tensors .*layers_2\.blocks\.0\.attn\.qkv"):
        make_swin(weights=str(path))
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"w\.pth is not of timm's .*relative_position_bias_table is \(169, 1\)"):
        make_swin(weights=str(path), options={"window_size": 12})
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"w\.pth is not a readable state dict"):
        make_swin(weights=str(path))


@torch.no_grad()
def test_pretrained_weights_are_those_of_timm(tmp_path, monkeypatch):
    torch.manual_seed(4)
    state = timm.create_model(SWIN, **SMALL).state_dict()
    torch.save(state, tmp_path / "w.pth")  # replaces the download
    real = timm.create_model

    def create(*names, **options):
        return real(*names, **options, pretrained_cfg_overlay={"file": str(tmp_path / "w.pth")})

    monkeypatch.setattr(timm, "create_model", create)
    loaded = make_swin(pretrained=True).network.state_dict()
    for key, value in loaded.items():
        assert torch.equal(value, state[key.replace("layers_", "layers.")]), key


def test_weights_of_an_installed_package_of_another_library(tmp_path, monkeypatch):
    """Tensors of a package with one .pth file and other names are matched by their order."""
    source = timm.create_model("mobilenetv2_100", num_classes=5)
    foreign = {f"_layer{n}": torch.rand_like(value.float()) for n, value in enumerate(source.state_dict().values())}
    package = tmp_path / "made_up_weights"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    torch.save(foreign, package / "models" / "net.pth")
    monkeypatch.setattr(timm_weights, "list_package_folders", lambda: [tmp_path])
    backbone = TimmBackbone("mobilenetv2_100", weights="package:made_up_weights")
    own = list(backbone.network.state_dict().values())
    for value, given in zip(own, foreign.values(), strict=False):
        if value.is_floating_point():
            assert torch.equal(value, given)
    torch.save(foreign, package / "second.pth")
    with pytest.raises(ValueError, match=r"contains 2 [.]pth files"):
        TimmBackbone("mobilenetv2_100", weights="package:made_up_weights")
    with pytest.raises(FileNotFoundError, match="no_such_package is not installed"):
        TimmBackbone("mobilenetv2_100", weights="package:no_such_package")


@pytest.mark.parametrize("name", ["evilpkg", "evilpkg.weights"])
def test_a_package_beside_the_script_is_neither_found_nor_run(tmp_path, monkeypatch, name):
    (tmp_path / "evilpkg" / "weights").mkdir(parents=True)
    for folder in ("evilpkg", "evilpkg/weights"):
        (tmp_path / folder / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        (tmp_path / folder / "net.pth").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{name} is not installed"):
        timm_weights.find_weights(f"package:{name}")
    assert not (tmp_path / "ran").exists()


def test_an_installed_package_is_found_without_running_it(tmp_path, monkeypatch):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("raise SystemExit")
    (tmp_path / "pkg" / "net.pth").write_bytes(b"x")
    monkeypatch.setattr(timm_weights, "list_package_folders", lambda: [tmp_path / "none", tmp_path])
    assert timm_weights.find_weights("package:pkg") == str(tmp_path / "pkg" / "net.pth")


@pytest.mark.parametrize("name", ["", "../pkg", "a/b", "/etc", "a..b", "a b"])
def test_the_name_of_a_package_is_no_path(name):
    with pytest.raises(ValueError, match="followed by the name of a package"):
        timm_weights.find_weights(f"package:{name}")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04\x8e" + b"\xff" * 8, b"PK\x03\x04" + b"\0" * 99])
def test_a_damaged_file_of_weights_is_named(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"w\.pth is not a readable state dict of timm's mobilenetv2_100"):
        TimmBackbone("mobilenetv2_100", weights=str(tmp_path / "w.pth"))


def test_a_file_of_other_values_is_named(tmp_path):
    torch.save({"a": 1}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth is not a readable state dict of timm's mobilenetv2_100"):
        TimmBackbone("mobilenetv2_100", weights=str(tmp_path / "w.pth"))
