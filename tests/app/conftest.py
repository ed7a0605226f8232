"""Fixtures of the tests of the page: a small random network that finds objects, an image, and servers in threads."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from PIL import Image

from depthbox import add_depthbox_config
from depthbox.app.folder import make_upload_folder
from depthbox.app.limits import Limits
from depthbox.app.network import TrialNetwork, load_trial_network
from depthbox.app.server import Address, find_url, make_server, open_port
from depthbox.app.storage import DownloadStore, UploadStore
from depthbox.config import load_config

SIZE = (96, 128)
MASK_BIAS = 232  # index of the bias of the masks' last layer, which the filters of the depth layer follow


def load(*words: str) -> CfgNode:
    options = [
        *("MODEL.FPN.OUT_CHANNELS", "32", "INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "128"),
        *("INPUT.DEPTH.ENABLED", "True", "MODEL.DEPTH.LAYER", "True", "MODEL.FCOS.INFERENCE_TH", "0.0"),
        *("TEST.DETECTIONS_PER_IMAGE", "5", *words),
    ]
    return load_config(add_depthbox_config, "tests/tiny.yaml", options)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder: a random network that predicts a constant depth, and its config."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    state = build_model(load()).state_dict()
    state["proposal_generator.fcos_head.bbox_pred.bias"][:] = 1.5
    state["controller.bias"][MASK_BIAS] = 2.0
    state["controller.weight"][MASK_BIAS + 1 :] = 0
    state["controller.bias"][MASK_BIAS + 1 :] = 0
    state["controller.bias"][-1] = 1.0  # depth is sigmoid(1) everywhere
    torch.save({"model": state, "optimizer": {}, "trainer": {"iteration": 0}}, folder / "model_final.pth")
    (folder / "config.yaml").write_text(load().dump())
    return folder


@pytest.fixture(scope="session")
def network(run: Path) -> TrialNetwork:
    return load_trial_network(load(), str(run / "model_final.pth"), classes="cat,dog,cup,car,hat,pen,key,egg")


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 96 x 128 pixels: a bright disk on a dark gradient."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    pixels = np.stack([rows, columns, rows + columns], axis=2).astype(np.uint8)
    pixels[(rows - 50) ** 2 + (columns - 60) ** 2 < 30**2] = (250, 200, 40)
    path = tmp_path_factory.mktemp("photos") / "my photo.png"
    Image.fromarray(pixels).save(path)
    return path


@contextlib.contextmanager
def serving(network: TrialNetwork, limits: Limits | None = None, **address: object) -> Iterator[str]:
    """Serve the page in a thread; gives its URL."""
    from depthbox.app.actions import Actions
    from depthbox.app.page import build_page

    limits = limits or Limits()
    with make_upload_folder() as folder, open_port("127.0.0.1", 0) as listener:
        actions = Actions(network, UploadStore(folder, limits), DownloadStore(limits.download_bytes), limits)
        server = make_server(build_page(actions, threshold=0.0), actions, listener, Address(**address))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield find_url(listener)
        server.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def serve() -> object:
    """The function ``serving``, for tests that need a server of their own."""
    return serving
