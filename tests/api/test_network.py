"""Prediction and labeling from Python, compared with the functions behind the commands."""

from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image

import depthbox
from depthbox import add_depthbox_config
from depthbox.config import ConfigError, load_config
from depthbox.inference.predictor import load_batch_predictor
from depthbox.io.images import ImageError, read_image
from depthbox.labeling.loading import load_box_labeler
from depthbox.labeling.prompts import Prompts

from .conftest import OPTIONS, SIZE


@pytest.fixture(scope="module")
def net(run: Path) -> depthbox.Network:
    return depthbox.load(run, device="cpu", classes="cat,dog,cup,car,hat,pen,key,egg")


def test_predictions_equal_those_of_the_command(net: depthbox.Network, run: Path, photo: Path) -> None:
    cfg = load_config(add_depthbox_config, "tests/tiny.yaml", OPTIONS)
    expected = load_batch_predictor(cfg, str(run / "model_final.pth"))([read_image(photo)])[0]
    result = net.predict(photo, threshold=0)
    order = expected.scores.argsort(descending=True, stable=True)
    assert len(result) == len(expected) == 5 and result.size == SIZE and result.name == "my photo.png"
    np.testing.assert_array_equal(result.boxes, expected.pred_boxes.tensor[order].double().numpy())
    np.testing.assert_array_equal(result.scores, expected.scores[order].double().numpy())
    np.testing.assert_array_equal(result.masks, expected.pred_masks[order].numpy())
    np.testing.assert_allclose(result.depth, expected.pred_depths[order].numpy(), atol=1e-6)
    assert result.names == [net.classes.names[label] for label in expected.pred_classes[order]]
    assert result.masks.any() and (np.diff(result.scores) <= 0).all()
    middle = float(result.scores[2])
    assert len(net.predict(photo, threshold=middle)) == int((result.scores >= middle).sum()) < 5


def test_images_of_all_kinds(net: depthbox.Network, photo: Path) -> None:
    pixels = read_image(photo)
    expected = net.predict(photo, threshold=0)
    for image in (str(photo), pixels, Image.open(photo)):
        result = net.predict(image, threshold=0)
        np.testing.assert_array_equal(result.masks, expected.masks)
        np.testing.assert_array_equal(result.image, pixels)
    listed = net.predict([photo, pixels, pixels], threshold=0, batch=2)
    assert [result.name for result in listed] == ["my photo.png", "image 2", "image 3"]
    in_folder = net.predict(photo.parent, threshold=0)
    assert [result.name for result in in_folder] == ["my photo.png"]
    assert [result.name for result in net.predict(str(photo.parent / "*.png"))] == ["my photo.png"]
    for results in (listed, in_folder):
        np.testing.assert_array_equal(results[0].masks, expected.masks)
    assert next(net.predict_each([pixels], 0)).scores.tolist() == expected.scores.tolist()


def test_masks_of_boxes_equal_those_of_label(net: depthbox.Network, run: Path, photo: Path) -> None:
    boxes = np.array([[30.0, 20.0, 90.5, 80.0], [100.0, 0.0, 128.0, 40.0]])
    cfg = load_config(add_depthbox_config, "tests/tiny.yaml", OPTIONS)
    labeler = load_box_labeler(cfg, str(run / "model_final.pth"), sizes=(64,))
    result = net.label(photo, boxes, [2, 0])
    for index, expected in enumerate(labeler({}, read_image(photo), Prompts(boxes))):
        whole = np.zeros(SIZE, dtype=bool)
        rows, columns = expected.mask.shape
        whole[expected.top : expected.top + rows, expected.left : expected.left + columns] = expected.mask.numpy()
        np.testing.assert_array_equal(result.masks[index], whole)
        assert result.scores[index] == expected.score
    assert result.classes.tolist() == [2, 0] and result.depth.shape == (2,)
    np.testing.assert_array_equal(result.boxes, boxes)
    same = net.label(photo, [[30, 20, 60.5, 60], [100, 0, 40, 40]], [2, 0], xywh=True)
    np.testing.assert_array_equal(same.masks, result.masks)
    assert len(net.label(photo, [])) == 0


@pytest.mark.parametrize(
    ("boxes", "classes", "message"),
    [
        ([[1, 2, 3]], 0, "shape"),
        ([[200, 200, 220, 220]], 0, "inside the image"),
        ([[1, 2, 30, 40]], 8, "indices from 0 to 7"),
    ],
)
def test_wrong_boxes_are_named(net: depthbox.Network, photo: Path, boxes: list, classes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        net.label(photo, boxes, classes)


def test_wrong_images_and_folders_are_named(net: depthbox.Network, tmp_path: Path, run: Path) -> None:
    with pytest.raises(ValueError, match="uint8, RGB, got float64"):
        net.predict(np.zeros((4, 4, 3)))
    with pytest.raises(ImageError, match=r"gone\.png"):
        net.predict(tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError, match="neither model_best"):
        depthbox.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        depthbox.load(tmp_path / "gone.pth")
    with pytest.raises(ConfigError, match=r"MODEL\.NOTHING"):
        depthbox.load(run, device="cpu", overrides=["MODEL.NOTHING", "1"])


def test_a_checkpoint_with_another_config_and_size(run: Path, photo: Path) -> None:
    net = depthbox.load(run / "model_final.pth", config_file=run / "config.yaml", device="cpu", size=96)
    assert net.classes.names[0] == "class 1" and net.has_depth
    assert (
        net.predict(photo, threshold=0).scores.tolist()
        != depthbox.load(run, device="cpu").predict(photo, 0).scores.tolist()
    )
    assert all(mask_util.decode(rle).shape == SIZE for rle in net.predict(photo, 0).rles)
