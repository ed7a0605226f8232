"""Compiled parts compute the same results as plain parts."""

from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.modeling.build import PARTS, compile_parts

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
