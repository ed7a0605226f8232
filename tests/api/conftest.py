"""Fixtures of the Python interface: a run folder with a small random network that finds objects, and an image."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.modeling.build import build_network

SIZE = (96, 128)
OPTIONS = (
    *("MODEL.FPN.OUT_CHANNELS", "32", "INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "128"),
    *("INPUT.DEPTH.ENABLED", "True", "MODEL.DEPTH.LAYER", "True", "MODEL.FCOS.INFERENCE_TH", "0.0"),
    *("TEST.DETECTIONS_PER_IMAGE", "5"),
)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    cfg = load_config(add_depthbox_config, "tests/tiny.yaml", OPTIONS)
    state = build_network(cfg).state_dict()
    state["proposal_generator.fcos_head.bbox_pred.bias"][:] = 1.5
    state["controller.bias"][232] = 2.0  # of the masks' last layer, which the filters of the depth layer follow
    torch.save({"model": state, "optimizer": {}, "trainer": {"iteration": 0}}, folder / "model_final.pth")
    (folder / "config.yaml").write_text(cfg.dump())
    return folder


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    pixels = np.stack([rows, columns, rows + columns], axis=2).astype(np.uint8)
    pixels[(rows - 50) ** 2 + (columns - 60) ** 2 < 30**2] = (250, 200, 40)
    path = tmp_path_factory.mktemp("photos") / "my photo.png"
    Image.fromarray(pixels).save(path)
    return path
