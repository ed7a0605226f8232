"""Network of the page, compared with `depthbox predict` and `depthbox label`."""

from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch

from depthbox.app.boxes import GivenBox
from depthbox.app.network import TrialNetwork, load_trial_network
from depthbox.inference.predictor import load_batch_predictor
from depthbox.io.images import read_image
from depthbox.labeling.loading import load_box_labeler
from depthbox.labeling.prompts import Prompts

from .conftest import SIZE, load

DEPTH = 1 / (1 + np.exp(-1.0))  # of the network of these tests, at every pixel


def test_detections_equal_those_of_predict(run: Path, network: TrialNetwork, photo: Path) -> None:
    image = read_image(photo)
    expected = load_batch_predictor(load(), str(run / "model_final.pth"))([image])[0]
    result = network.detect(image, "a.png")
    assert result.name == "a.png" and result.size == SIZE and not result.given
    assert len(result.objects) == len(expected) == 5
    order = expected.scores.argsort(descending=True).tolist()
    for found, place in zip(result.objects, order, strict=True):
        np.testing.assert_allclose(found.corners, expected.pred_boxes.tensor[place].numpy(), atol=1e-2)
        assert found.score == pytest.approx(float(expected.scores[place]), abs=1e-5)
        assert found.label == int(expected.pred_classes[place])
        assert (mask_util.decode(found.mask).astype(bool) == expected.pred_masks[place].numpy()).all()
        assert found.area == int(expected.pred_masks[place].sum())
        assert found.depth == pytest.approx(DEPTH if found.area else 0, abs=1e-4)


def test_masks_of_boxes_equal_those_of_label(run: Path, network: TrialNetwork, photo: Path) -> None:
    image = read_image(photo)
    boxes = [GivenBox((30.0, 20.0, 90.5, 80.0), 2), GivenBox((100.0, 0.0, 128.0, 40.0), 0)]
    corners = np.array([box.corners for box in boxes])
    expected = load_box_labeler(load(), str(run / "model_final.pth"), sizes=(64,))({}, image, Prompts(corners))
    result = network.mask_boxes(image, boxes, "a.png")
    assert result.given and [found.label for found in result.objects] == [2, 0]
    for found, box, mask in zip(result.objects, boxes, expected, strict=True):
        whole = np.zeros(SIZE, dtype=bool)
        rows, columns = mask.mask.shape
        whole[mask.top : mask.top + rows, mask.left : mask.left + columns] = mask.mask.numpy()
        assert (mask_util.decode(found.mask).astype(bool) == whole).all() and whole.any()
        assert found.score == mask.score and found.corners == box.corners
        assert found.depth == pytest.approx(DEPTH, abs=1e-4)
    assert network.mask_boxes(image, []).objects == ()


def test_the_config_is_not_changed_and_other_sizes_are_possible(run: Path, photo: Path) -> None:
    cfg = load("MODEL.DEPTH.LAYER", "False", "INPUT.DEPTH.ENABLED", "False")
    before = cfg.dump()
    small = load_trial_network(cfg, str(run / "model_final.pth"), size=96)
    assert cfg.dump() == before and not small.has_depth and small.classes.names[0] == "class 1"
    result = small.mask_boxes(read_image(photo), [GivenBox((30.0, 20.0, 90.0, 80.0), 0)])
    assert len(result.objects) == 1 and result.objects[0].depth is None
    assert all(found.depth is None for found in small.detect(read_image(photo)).objects)


def test_large_images_are_possible(network: TrialNetwork) -> None:
    image = torch.randint(0, 255, (3000, 5000, 3), dtype=torch.uint8).numpy()
    result = network.detect(image)
    assert len(result.objects) == 5 and all(found.mask["size"] == [3000, 5000] for found in result.objects)
    box = GivenBox((1000.0, 500.0, 3000.0, 2500.0), 0)
    found = network.mask_boxes(image, [box]).objects[0]
    x, y, width, height = mask_util.toBbox(found.mask)
    assert found.area > 0 and x >= 999 and y >= 499 and x + width <= 3001 and y + height <= 2501


def test_the_time_of_a_computation_is_limited(network: TrialNetwork, photo: Path) -> None:
    boxes = [GivenBox((30.0, 20.0, 90.5, 80.0), 2)] * 2
    with pytest.raises(ValueError, match=r"^the masks of 2 boxes take too long, 0 are done: use fewer boxes"):
        network.mask_boxes(read_image(photo), boxes, "a.png", seconds=0)


def test_mistakes_are_named(run: Path) -> None:
    with pytest.raises(ValueError, match="names 2 classes, the network has 8"):
        load_trial_network(load(), str(run / "model_final.pth"), classes="cat,dog")
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        load_trial_network(load(), str(run / "none.pth"))
