"""``depthbox label`` with points: small random networks of points and of boxes, and the mistakes of users."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.modeling import build_model
from points_toy import points_cfg, points_network

from depthbox import add_depthbox_config
from depthbox.cli import label
from depthbox.config import load_config
from depthbox.data.synthetic.write import write_dataset

WORDS = ["MODEL.FPN.OUT_CHANNELS", "32", "INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "128"]


def to_points(content: dict[str, Any]) -> dict[str, Any]:
    """Replace masks and boxes by a pixel of each mask."""
    annotations = []
    for entry in content["annotations"]:
        rows, columns = np.nonzero(mask_util.decode(entry["segmentation"]))
        middle = len(rows) // 2
        kept = {key: entry[key] for key in ("id", "image_id", "category_id")}
        annotations.append({**kept, "point_coords": [[columns[middle] + 0.5, rows[middle] + 0.5]]})
    return {**content, "annotations": annotations}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes with masks and as points, and two run folders: a network of points and one of boxes."""
    folder = tmp_path_factory.mktemp("label_points")
    write_dataset(folder, 2, height=72, width=96, split="val")
    content = json.loads((folder / "instances_val.json").read_text())
    (folder / "points.json").write_text(json.dumps(to_points(content)))
    sizes = {"INPUT__MIN_SIZE_TEST": 64, "INPUT__MAX_SIZE_TEST": 128}
    keys = {"MODEL__P2SEG__NUM_CLASSES": len(content["categories"]), **sizes}
    save_run(folder / "points_run", points_cfg(**keys), points_network(**keys))
    cfg = load_config(add_depthbox_config, "tests/tiny.yaml", WORDS)
    torch.manual_seed(0)
    network = build_model(cfg)
    with torch.no_grad():
        network.controller.bias[232] = 2.0  # bias of the masks' last layer: masks are not empty
        network.proposal_generator.fcos_head.cls_logits.bias.zero_()  # detections above the threshold
    save_run(folder / "box_run", cfg, network)
    return folder


def save_run(folder: Path, cfg: Any, network: torch.nn.Module) -> None:
    folder.mkdir()
    torch.save({"model": network.state_dict(), "trainer": {"iteration": 0}}, folder / "model_final.pth")
    (folder / "config.yaml").write_text(cfg.dump())


def call(scenes: Path, run: str, output: Path, *words: str, json_file: Path | None = None) -> int:
    parser = argparse.ArgumentParser()
    label.add_arguments(parser)
    source, weights = json_file or scenes / "points.json", scenes / run / "model_final.pth"
    given = ["--json", str(source), "--images", str(scenes / "val"), "--weights", str(weights)]
    given += ["--output", str(output), "--size", "64", *words, "--set", "MODEL.DEVICE", "cpu"]
    return label.run(parser.parse_args(given))


@pytest.mark.parametrize("run", ["points_run", "box_run"])
def test_each_point_gets_a_mask_and_its_extent(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], run: str
) -> None:
    output = tmp_path / "masks.json"
    truth = str(scenes / "instances_val.json")
    assert call(scenes, run, output, "--evaluate", truth, "--review", "2") == 0
    given, written = (json.loads(path.read_text()) for path in (scenes / "points.json", output))
    fallbacks = 0
    for before, after in zip(given["annotations"], written["annotations"], strict=True):
        assert before.items() <= after.items()
        mask = mask_util.decode(after["segmentation"]).astype(bool)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        low, high = (columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)
        assert after["bbox"] == [*low, high[0] - low[0], high[1] - low[1]] and after["area"] == mask.sum() > 0
        fallbacks += after.get("fallback", False)
        (x, y) = before["point_coords"][0]
        if after.get("fallback"):
            assert mask[int(y), int(x)] and after["score"] == (0.5 if run == "points_run" else 0)
    count = len(given["annotations"])
    shown = capsys.readouterr()
    assert f"{count} points labeled: {output}" in shown.out and "boxes" not in shown.out
    assert f"mean IoU with {count} true masks" in shown.out and "above 75" in shown.out and "AP50" in shown.out
    assert fallbacks == 0 or f"{fallbacks} points have a square instead of a mask" in shown.out
    assert fallbacks < count and (tmp_path / "masks_review" / "review_001.png").is_file()


def test_a_repeated_job_of_points_is_recognized(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "masks.json"
    assert call(scenes, "points_run", output) == 0
    written = output.read_bytes()
    capsys.readouterr()
    assert call(scenes, "points_run", output, "--evaluate", str(scenes / "instances_val.json")) == 0
    shown = capsys.readouterr().out
    assert "were labeled by an earlier call with the same inputs" in shown and "mean IoU with" in shown
    assert output.read_bytes() == written


def test_a_network_of_boxes_labels_boxes_as_before_and_points_beside_them(scenes: Path, tmp_path: Path) -> None:
    """The masks of boxes do not change if another object of the image has a point only."""
    content = json.loads((scenes / "instances_val.json").read_text())
    for entry in content["annotations"]:
        del entry["segmentation"]
    boxes, mixed = tmp_path / "boxes.json", tmp_path / "mixed.json"
    boxes.write_text(json.dumps(content))
    points = json.loads((scenes / "points.json").read_text())["annotations"]
    content["annotations"][0] = points[0]
    mixed.write_text(json.dumps(content))
    for source in (boxes, mixed):
        assert call(scenes, "box_run", tmp_path / f"{source.stem}_masks.json", json_file=source) == 0
    first, second = (
        json.loads((tmp_path / f"{name}_masks.json").read_text())["annotations"] for name in ("boxes", "mixed")
    )
    assert first[1:] == second[1:] and len(first) > 3
    assert second[0]["point_coords"] == points[0]["point_coords"] and "bbox" in second[0]


def test_a_network_of_points_leaves_boxes_and_masks(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((scenes / "instances_val.json").read_text())
    points = json.loads((scenes / "points.json").read_text())["annotations"]
    del content["annotations"][1]["segmentation"]
    content["annotations"][0] = points[0]
    (tmp_path / "mixed.json").write_text(json.dumps(content))
    assert call(scenes, "points_run", tmp_path / "masks.json", json_file=tmp_path / "mixed.json") == 0
    written = json.loads((tmp_path / "masks.json").read_text())["annotations"]
    assert written[1:] == content["annotations"][1:] and "segmentation" in written[0]
    shown = capsys.readouterr().out
    assert "1 points labeled" in shown and f"{len(written) - 1} objects with a mask or box are unchanged" in shown


def test_a_class_that_the_network_does_not_have_is_named(scenes: Path, tmp_path: Path) -> None:
    content = json.loads((scenes / "points.json").read_text())
    names = {"categories": [{**entry, "name": f"thing {n}"} for n, entry in enumerate(content["categories"])]}
    (tmp_path / "train.json").write_text(json.dumps(names))
    entry = repr([["mine", str(tmp_path / "train.json"), "images"]])
    words = ["--set", "DATASETS.COCO_STYLE", entry, "DATASETS.TRAIN", "('mine',)", "MODEL.DEVICE", "cpu"]
    parser = argparse.ArgumentParser()
    label.add_arguments(parser)
    paths = ["--images", str(scenes / "val"), "--weights", str(scenes / "points_run" / "model_final.pth")]
    arguments = parser.parse_args(
        ["--json", str(scenes / "points.json"), *paths, "--output", str(tmp_path / "o.json"), *words]
    )
    with pytest.raises(ValueError, match=r"points\.json has classes that the run does not have.*thing 0"):
        label.run(arguments)
    assert not (tmp_path / "o.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--evaluate"], r"points\.json have no masks to compare with.*--evaluate TRUTH\.json"),
        (["--evaluate", "none.json"], "none.json does not exist"),
        (["--size", "64", "96"], "a P2Seg labels at one size, but --size names 2"),
        (["--depth", "depth"], "--depth has no effect, because a P2Seg does not read depth"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    scenes: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        call(scenes, "points_run", tmp_path / "o.json", *words)
    assert list(tmp_path.iterdir()) == []


def test_boxes_are_not_labeled_by_a_network_of_points(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no object with a point only, and a P2Seg labels points"):
        call(scenes, "points_run", tmp_path / "o.json", json_file=scenes / "instances_val.json")
    assert list(tmp_path.iterdir()) == []
