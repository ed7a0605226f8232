"""Compiled parts compute the same results as plain parts."""

from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.modeling.build import PARTS, build_network, compile_parts

TINY = Path(__file__).parents[1] / "tiny.yaml"


def test_names_of_weights_stay_and_other_networks_are_left_alone() -> None:
    model = build_model(load_config(add_depthbox_config, str(TINY), []))
    names = list(model.state_dict())
    assert compile_parts(model) == list(PARTS)
    assert list(model.state_dict()) == names
    assert compile_parts(nn.Linear(1, 1)) == []


@pytest.mark.slow
def test_compiled_parts_give_the_same_detections() -> None:
    model = build_model(load_config(add_depthbox_config, str(TINY), ["MODEL.FCOS.INFERENCE_TH", "0.0"])).eval()
    images = [{"image": torch.randint(0, 256, (3, h, w)), "height": h, "width": w} for h, w in ((96, 128), (128, 96))]
    with torch.no_grad():
        plain = [model([x])[0]["instances"] for x in images]
        compile_parts(model)
        compiled = [model([x])[0]["instances"] for x in images]
    for a, b in zip(plain, compiled, strict=True):
        assert len(a) > 0 and len(a) == len(b)
        torch.testing.assert_close(a.scores, b.scores, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.META_ARCHITECTURE", "Abc"], "MODEL.META_ARCHITECTURE is 'Abc', .* Registered are DepthBox, "),
        (["MODEL.BACKBONE.NAME", "abc"], "MODEL.BACKBONE.NAME is 'abc', .*build_timm_fpn_backbone"),
        (["MODEL.DEVICE", "cuda:99"], "MODEL.DEVICE is cuda:99, but "),
        (
            ["MODEL.META_ARCHITECTURE", "GeneralizedRCNN", "MODEL.MASK_ON", "False"],
            "GeneralizedRCNN, which cannot be built",
        ),
        (["MODEL.TIMM.NAME", "no_net"], "MODEL.TIMM.NAME is 'no_net', with which the network .* cannot be built"),
        (["MODEL.TIMM.OPTIONS", "[[1], 'x']"], "MODEL.TIMM.OPTIONS is .* cannot be built"),
        (["MODEL.FCOS.IN_FEATURES", "['p2', 'p4', 'p5', 'p6', 'p7']"], "has p3, p4, p5, p6, p7"),
        (
            ["MODEL.FCOS.FPN_STRIDES", "[8, 16, 32, 64, 100]"],
            r"FPN_STRIDES is \[8, 16, 32, 64, 100\], but these levels",
        ),
        (["MODEL.CONDINST.MASK_BRANCH.IN_FEATURES", "['p4', 'p3']"], "from the finest to the coarsest"),
        (["MODEL.CONDINST.MASK_BRANCH.IN_FEATURES", "['p6']"], "its first level, 64, must divide 32"),
        (["MODEL.CONDINST.MASK_OUT_STRIDE", "3"], "MODEL.CONDINST.MASK_OUT_STRIDE must divide 8, got 3"),
    ],
)
def test_a_config_that_cannot_be_built_names_the_key(overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_network(load_config(add_depthbox_config, str(TINY), overrides))


def test_a_bug_of_the_network_keeps_its_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object, **options: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr("depthbox.modeling.meta_arch.depthbox.DynamicMaskHead", broken)
    with pytest.raises(RuntimeError, match="planted"):
        build_network(load_config(add_depthbox_config, str(TINY)))


def test_a_network_for_a_checkpoint_ignores_the_initial_weights_of_the_config() -> None:
    overrides = ["MODEL.TIMM.WEIGHTS", "package:no_such_package", "MODEL.TIMM.PRETRAINED", "True"]
    cfg = load_config(add_depthbox_config, str(TINY), overrides)
    assert len(build_network(cfg, initial_weights=False).state_dict()) > 100
    with pytest.raises(FileNotFoundError, match="no_such_package is not installed"):
        build_network(load_config(add_depthbox_config, str(TINY), overrides[:2]))
