"""Fixtures of the export's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from export_toy import SHAPES, Exported, config, random_network, smooth_image

from depthbox.export import ExportGraph, Picture, export_program, fill_up, onnx_bytes


@pytest.fixture
def make_pictures() -> Callable[[], list[Picture]]:
    return lambda: [
        fill_up(f"picture {i}", smooth_image(*shape, seed=i), size) for i, (shape, size) in enumerate(SHAPES)
    ]


@pytest.fixture(scope="session")
def exported() -> Exported:
    """A network for images of any size."""
    cfg = config()
    model = random_network(cfg)
    graph = ExportGraph(model, cfg.INPUT.FORMAT)
    return Exported(model, graph, onnx_bytes(graph, export_program(graph), metadata={"classes": '["a"]'}))


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder: a random network's checkpoint and its config."""
    folder = tmp_path_factory.mktemp("run")
    torch.save({"model": random_network(config()).state_dict()}, folder / "model_final.pth")
    (folder / "config.yaml").write_text(config().dump())
    return folder
