"""Fixtures of the tests of export."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from export_toy import SHAPES, Exported, config, random_network, smooth_image

from depthbox.export import ExportGraph, ExportInput, export_program, onnx_bytes, pad_image


@pytest.fixture
def make_inputs() -> Callable[[], list[ExportInput]]:
    return lambda: [
        pad_image(f"image {i}", smooth_image(*shape, seed=i), size) for i, (shape, size) in enumerate(SHAPES)
    ]


@pytest.fixture(scope="session")
def exported() -> Exported:
    """An exported network for images of any size."""
    cfg = config()
    model = random_network(cfg)
    graph = ExportGraph(model, cfg.INPUT.FORMAT)
    return Exported(model, graph, onnx_bytes(graph, export_program(graph), metadata={"classes": '["a"]'}))


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder: checkpoint of a random network and its config."""
    folder = tmp_path_factory.mktemp("run")
    torch.save({"model": random_network(config()).state_dict()}, folder / "model_final.pth")
    (folder / "config.yaml").write_text(config().dump())
    return folder
