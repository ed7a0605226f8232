"""Inputs and outputs of a network for prediction: resizing, channel order, batches, thresholds and refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.structures import Boxes, Instances
from torch import nn

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.inference import predictor as module
from depthbox.inference.predictor import (
    build_batch_predictor,
    build_resize,
    find_config,
    load_network,
    load_pseudo_labeler,
    prepare_image,
    require_depthbox,
)


def config(*words: str) -> CfgNode:
    sizes = ("INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "128")
    return load_config(add_depthbox_config, "tests/tiny.yaml", [*sizes, *words])


@pytest.mark.parametrize(
    ("size", "image", "expected"),
    [
        (0, (100, 150), (64, 96)),
        (0, (150, 100), (96, 64)),
        (0, (100, 400), (32, 128)),
        (32, (100, 150), (32, 48)),
        (32, (100, 400), (16, 64)),  # the limit of the longer side is scaled with the shorter one
        (128, (100, 400), (64, 256)),
    ],
)
def test_images_are_resized_by_their_shorter_side(size: int, image: tuple[int, int], expected: tuple[int, int]) -> None:
    cfg = config()
    prepared = prepare_image(cfg, build_resize(cfg, size), np.zeros((*image, 3), dtype=np.uint8))
    assert prepared.shape == (3, *expected) and prepared.dtype == torch.uint8


def test_channels_are_in_the_order_of_the_config() -> None:
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    image[..., 0], image[..., 2] = 200, 30
    for order, expected in (("RGB", [200, 0, 30]), ("BGR", [30, 0, 200])):
        cfg = config("INPUT.FORMAT", order)
        assert prepare_image(cfg, build_resize(cfg), image)[:, 5, 5].tolist() == expected


class Recorder(nn.Module):
    """Network whose only detection has the mean gray value of its image as score."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[dict[str, Any]]] = []

    def forward(self, samples: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        assert not torch.is_grad_enabled()
        self.batches.append(samples)
        results = []
        for x in samples:
            found = Instances((x["height"], x["width"]))
            found.pred_boxes, found.scores = Boxes(torch.zeros(1, 4)), x["image"].float().mean()[None] / 255
            results.append({"instances": found})
        return results


def test_a_batch_keeps_its_order_and_the_original_sizes() -> None:
    network = Recorder()
    predict = build_batch_predictor(config(), network)
    images = [np.full((50 + 10 * n, 80, 3), 51 * n, dtype=np.uint8) for n in range(4)]
    results = predict(images)
    assert [result.image_size for result in results] == [(50, 80), (60, 80), (70, 80), (80, 80)]
    assert [round(float(result.scores), 3) for result in results] == [0, 0.2, 0.4, 0.6]
    assert len(network.batches) == 1 and predict([]) == []


def test_only_a_depthbox_computes_masks_of_boxes() -> None:
    with pytest.raises(ValueError, match="META_ARCHITECTURE is Recorder, but only a DepthBox"):
        require_depthbox(Recorder())


def test_missing_files_are_named_with_the_option(tmp_path) -> None:
    with pytest.raises(ValueError, match="name one with --weights"):
        load_network(config(), "")
    with pytest.raises(FileNotFoundError, match=r"gone.pth does not exist: correct --weights"):
        find_config(str(tmp_path / "gone.pth"))
    with pytest.raises(FileNotFoundError, match=r"https://x/a\.pth is not known: name it with --config-file"):
        find_config("https://x/a.pth")
    assert find_config("https://x/a.pth", "own.yaml") == "own.yaml"
    (tmp_path / "a.pth").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=r"config.yaml does not exist: name the config of the training run"):
        find_config(str(tmp_path / "a.pth"))


class Labeler:
    """Labeler that gives every box a mask of one probability in its left half."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        (x,) = batch
        instances = x["instances"]
        height, width = instances.image_size
        masks = torch.full((len(instances), -(-height // 4), -(-width // 4)), self.value)
        masks[..., masks.shape[2] // 2 :] = 0
        instances.pseudo_masks, instances.pseudo_scores = masks, torch.full((len(instances),), 0.7)
        return [x]


@pytest.mark.parametrize(("value", "expected"), [(0.45, False), (0.55, True)])
def test_labels_are_binarized_at_one_half_in_the_original_image(monkeypatch, tmp_path, value, expected) -> None:
    cfg = config("MODEL.DISTILL.BETA", "0.0", "MODEL.FPN.OUT_CHANNELS", "32", "INPUT.FORMAT", "RGB")
    network = module.build_network(cfg).eval()
    monkeypatch.setattr(module, "load_network", lambda *_, **__: network)
    monkeypatch.setattr(module, "TeacherLabeler", lambda *_, **__: Labeler(value))
    from PIL import Image

    Image.fromarray(np.zeros((100, 150, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    box = {"bbox": [10.0, 20.0, 60.0, 40.0], "bbox_mode": 1, "category_id": 2, "iscrowd": 0}
    record = {"file_name": str(tmp_path / "a.png"), "height": 100, "width": 150, "image_id": 1, "annotations": [box]}
    result = load_pseudo_labeler(cfg, "unused.pth")(record)
    assert result.pred_masks.shape == (1, 100, 150) and result.pred_masks.dtype == torch.bool
    assert bool(result.pred_masks[0, :, :60].all()) == bool(result.pred_masks.any()) == expected
    assert not result.pred_masks[0, :, 90:].any()
    torch.testing.assert_close(result.pred_boxes.tensor, torch.tensor([[10.0, 20, 70, 60]]), atol=1e-4, rtol=0)
    assert result.scores.tolist() == pytest.approx([0.7]) and result.pred_classes.tolist() == [2]
