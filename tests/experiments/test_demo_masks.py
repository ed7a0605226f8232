"""Sheet of the demo: drawn scenes, their number, and the checkpoint that is loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.structures import Boxes, Instances
from PIL import Image

from depthbox.data.datasets import register_from_config
from depthbox.experiments import demo
from depthbox.experiments.demo import DemoSettings, draw_masks, make_config, make_data
from depthbox.visualization import instance_color

ROOT = Path(__file__).resolve().parents[2]


def find_nothing(record: dict[str, Any]) -> Instances:
    found = Instances((record["height"], record["width"]))
    found.pred_boxes, found.scores = Boxes(torch.zeros(0, 4)), torch.zeros(0)
    found.pred_classes = torch.zeros(0, dtype=torch.int64)
    found.pred_masks = torch.zeros(0, record["height"], record["width"], dtype=torch.bool)
    return found


def find_everything(record: dict[str, Any]) -> Instances:
    """Return one object with a mask of the whole image."""
    height, width = record["height"], record["width"]
    found = Instances((height, width))
    found.pred_boxes = Boxes(torch.tensor([[0.0, 0.0, width, height]]))
    found.scores, found.pred_classes = torch.tensor([0.9]), torch.tensor([0])
    found.pred_masks = torch.ones(1, height, width, dtype=torch.bool)
    return found


@pytest.fixture(scope="module")
def cfg(tmp_path_factory: pytest.TempPathFactory) -> CfgNode:
    """Write three scenes and return the config of the demo."""
    folder = tmp_path_factory.mktemp("demo")
    config = str(ROOT / "tests" / "tiny.yaml")
    settings = DemoSettings(config, train_images=1, val_images=3, height=48, width=64)
    cfg = make_config(settings, folder, make_data(settings, folder / "data"))
    register_from_config(cfg)
    return cfg


def draw(
    cfg: CfgNode, path: Path, monkeypatch: pytest.MonkeyPatch, predict: Callable[[dict[str, Any]], Instances]
) -> np.ndarray:
    """Draw the sheet with a function in the place of the network; returns its pixels."""
    loaded: list[str] = []

    def load(given: CfgNode, weights: str) -> Callable[[dict[str, Any]], Instances]:
        loaded.append(weights)
        return predict

    monkeypatch.setattr(demo, "load_predictor", load)
    draw_masks(cfg, path)
    assert loaded == [str(Path(cfg.OUTPUT_DIR) / "model_final.pth")]
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_each_scene_has_its_ground_truth_and_its_prediction(
    cfg: CfgNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = draw(cfg, tmp_path / "new" / "masks.png", monkeypatch, find_everything)
    width = 293  # of eight tiles in at most 2,400 pixels
    height = round(48 * width / 64)
    # Six tiles of three scenes are in one row, below the title.
    assert pixels.shape == (6 + 24 + 18 + height + 6, 6 + 6 * (width + 6), 3)
    lefts = [6 + number * (width + 6) for number in range(6)]
    tiles = [pixels[48 : 48 + height, left : left + width] for left in lefts]
    empty = draw(cfg, tmp_path / "empty.png", monkeypatch, find_nothing)
    plain = [empty[48 : 48 + height, left : left + width] for left in lefts]
    for number in (0, 2, 4):
        assert (tiles[number] == plain[number]).all(), "the ground truth has its class names from the start"
        assert (tiles[number] != plain[number + 1]).any(), "objects are outlined"
        changed = (tiles[number + 1] != plain[number + 1]).any(-1)
        assert changed.mean() > 0.95, "the mask covers the image"


def test_masks_are_blended_with_the_scene(cfg: CfgNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = draw(cfg, tmp_path / "a.png", monkeypatch, find_everything)
    plain = draw(cfg, tmp_path / "b.png", monkeypatch, find_nothing)
    place = (48 + 100, 6 + 293 + 6 + 150)  # inside of the first prediction
    known = [np.round(0.55 * plain[place] + 0.45 * np.array(instance_color(number))) for number in range(20)]
    assert min(np.abs(full[place] - color).max() for color in known) <= 1
