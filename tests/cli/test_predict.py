"""``depthbox predict`` with a small random network."""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from PIL import Image

from depthbox import add_depthbox_config
from depthbox.cli import predict
from depthbox.config import load_config
from depthbox.inference.predictor import load_batch_predictor, load_predictor
from depthbox.io.video import VideoFile

SIZE = (48, 64)
WORDS = [
    *("MODEL.FPN.OUT_CHANNELS", "32", "INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "128"),
    *(
        "INPUT.DEPTH.ENABLED",
        "True",
        "MODEL.DEPTH.LAYER",
        "True",
        "MODEL.FCOS.INFERENCE_TH",
        "0.0",
        "TEST.DETECTIONS_PER_IMAGE",
        "5",
    ),
    *("INPUT.FORMAT", "BGR"),
]


def config() -> CfgNode:
    return load_config(add_depthbox_config, "tests/tiny.yaml", WORDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images, a video of five frames, and a run folder: a random network and its config."""
    folder = tmp_path_factory.mktemp("predict")
    (folder / "in").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.png"):
        Image.fromarray(rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)).save(folder / "in" / name)
    with VideoFile(folder / "in" / "c.mp4", SIZE, 12.0) as video:
        for _ in range(5):
            video.write(rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8))
    torch.manual_seed(0)
    state = build_model(config()).state_dict()
    state["proposal_generator.fcos_head.bbox_pred.bias"][:] = 1.5
    state["controller.bias"][232] = 2.0  # bias of the masks' last layer
    (folder / "run").mkdir()
    torch.save({"model": state, "optimizer": {}, "trainer": {"iteration": 0}}, folder / "run" / "model_final.pth")
    (folder / "run" / "config.yaml").write_text(config().dump())
    return folder


def call(folder: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    given = ["--weights", str(folder / "run" / "model_final.pth"), "--threshold", "0"]
    return predict.run(parser.parse_intermixed_args([*given, *words]))


def test_a_folder_with_a_video(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(folder / "in"), "--output", str(tmp_path), "--batch", "3", "--cutouts", "--color-by", "depth"]
    assert call(folder, *words) == 0
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert len(content["images"]) == 7 and len(content["annotations"]) > 7
    assert all(0 <= row["depth"] <= 1 and row["segmentation"]["size"] == list(SIZE) for row in content["annotations"])
    assert len(content["categories"]) == 8
    capture = cv2.VideoCapture(str(tmp_path / "overlays" / "c.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    capture.release()
    assert {path.name for path in (tmp_path / "overlays").iterdir()} == {"a.jpg", "b.png", "c.mp4"}
    assert len(list((tmp_path / "cutouts").iterdir())) > 7
    assert "objects in 7 images" in capsys.readouterr().out


def test_unreadable_files_are_named_and_the_others_are_predicted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    words = [str(tmp_path / "bad.jpg"), str(folder / "in" / "*.png"), "--output", str(tmp_path / "out")]
    assert call(folder, *words, "--no-overlays") == 1
    shown = capsys.readouterr()
    assert (
        "not read: " in shown.err
        and "bad.jpg" in shown.err
        and "1 inputs could not be read" in shown.err
        and "in 1 images" in shown.out
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.jpg"], "nowhere.jpg"),
        (["IN", "--batch", "0"], "--batch"),
        (["IN", "--threshold", "40"], "between 0 and 1"),
        (["IN", "--size", "8"], "--size"),
        (["IN", "--no-json", "--no-overlays"], "nothing to write"),
        (["IN", "--max-frames", "0"], "--max-frames"),
        (["IN", "--classes", "cat,dog"], "names 2 classes, the network has 8"),
        (["IN", "--color-by", "depth", "--set", "MODEL.DEPTH.LAYER", "False"], "does not predict depth"),
        (["IN", "--weights", "none/none.pth"], "none/none.pth does not exist"),
    ],
)
def test_wrong_arguments_are_reported_and_nothing_is_written(
    folder: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    words = [str(folder / "in") if word == "IN" else word for word in words]
    with pytest.raises((ValueError, OSError), match=message):
        call(folder, *words, "--output", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_images_are_predicted_as_those_of_a_dataset(folder: Path) -> None:
    """Predictions in a batch or alone, of RGB images for a BGR network, equal those of the evaluation."""
    weights, path = str(folder / "run" / "model_final.pth"), folder / "in" / "b.png"
    record = {"file_name": str(path), "height": SIZE[0], "width": SIZE[1]}
    expected = load_predictor(config(), weights)(record)
    pixels = np.asarray(Image.open(path))
    for found in load_batch_predictor(config(), weights)([pixels, pixels]):
        torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor, rtol=1e-4, atol=1e-2)
        torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-5)
        assert (found.pred_masks != expected.pred_masks).float().mean() < 1e-3
    larger = load_batch_predictor(config(), weights, size=96)([pixels])[0]
    assert larger.image_size == SIZE and len(larger) > 0


def test_help_has_examples() -> None:
    assert "examples:" in predict.EXAMPLES and "Exit status" in predict.EXAMPLES and len(predict.SUMMARY) <= 68
    assert all(len(line) <= 80 for line in predict.EXAMPLES.replace("%(prog)s", "depthbox predict").splitlines())
