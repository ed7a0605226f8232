"""Folders of depth models of unknown origin: refused before the library loads them."""

import json
from pathlib import Path

import pytest

pytest.importorskip("transformers")
import torch
from huggingface_hub import constants
from pseudo_depth_toy import save_model

from depthbox.data.pseudo_depth.model import DepthModel, describe_model
from depthbox.data.pseudo_depth.model_folder import PseudoDepthError, check_model_folder, offline


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", "dpt")
    return tmp_path / "model"


def change(path: Path, **settings: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"auto_map": {"AutoConfig": "evil.C"}}, "auto_map"),
        ({"backbone_config": {"auto_map": {"AutoConfig": "evil.C"}}}, "auto_map"),
        ({"_attn_implementation": "someone/kernels"}, "_attn_implementation"),
        ({"use_pretrained_backbone": True}, "fetches weights from the network"),
        ({"hidden_size": 10**400}, "larger than 1000000"),
        ({"neck_hidden_sizes": [8, 8, 8, 10**7]}, "larger than 1000000"),
        ({"num_hidden_layers": 10**5}, "num_hidden_layers"),
    ],
)
def test_settings_that_run_code_or_take_all_memory_are_refused(folder: Path, settings: dict, cause: str) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        before = (folder / name).read_text()
        change(folder / name, **settings)
        with pytest.raises(PseudoDepthError, match=rf"{name} cannot be used: .*{cause}"):
            describe_model(str(folder))
        (folder / name).write_text(before)
    assert describe_model(str(folder)).model_type == "dpt"


def test_damaged_settings_are_named(folder: Path) -> None:
    for text in ("", "[]", "5", '{"a": ' * 1000, '{"model_type": 5}'):
        (folder / "config.json").write_text(text)
        with pytest.raises(PseudoDepthError) as caught:
            describe_model(str(folder))
        assert "\n" not in str(caught.value) and "model" in str(caught.value)


def test_adapters_are_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else"}')
    with pytest.raises(PseudoDepthError, match="adapter"):
        check_model_folder(folder)


def test_damaged_weights_are_one_line(folder: Path) -> None:
    info = describe_model(str(folder))
    (weights,) = folder.glob("*.safetensors")
    content = weights.read_bytes()
    for damaged in (content[:100], b"", b"\xff" * 64, content[:-100]):
        weights.write_bytes(damaged)
        with pytest.raises(PseudoDepthError, match="cannot be loaded") as caught:
            DepthModel(info)
        assert "\n" not in str(caught.value)


def test_a_pickle_as_weights_is_not_run(folder: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple:
            return (open, (str(tmp_path / "ran"), "w"))

    info = describe_model(str(folder))
    for path in folder.glob("*.safetensors"):
        path.unlink()
    torch.save({"a": Payload()}, folder / "pytorch_model.bin")
    with pytest.raises(PseudoDepthError, match="cannot be loaded"):
        DepthModel(info)
    assert not (tmp_path / "ran").exists()


def test_the_network_is_off_in_a_block_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with offline(True):
        assert constants.HF_HUB_OFFLINE
    with offline(False):
        assert not constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE
