"""``depthbox label`` with a small random network."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from PIL import Image
from pycocotools.coco import COCO

from depthbox import add_depthbox_config
from depthbox.cli import label
from depthbox.config import load_config
from depthbox.data.synthetic.write import write_dataset

WORDS = ["MODEL.FPN.OUT_CHANNELS", "32", "INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "128"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes, and a run folder: a random network whose masks are not empty, and its config."""
    folder = tmp_path_factory.mktemp("label")
    write_dataset(folder, 2, height=72, width=96, split="val")
    cfg = load_config(add_depthbox_config, "tests/tiny.yaml", WORDS)
    torch.manual_seed(0)
    state = build_model(cfg).state_dict()
    state["controller.bias"][232] = 2.0  # bias of the masks' last layer
    (folder / "run").mkdir()
    torch.save({"model": state, "optimizer": {}, "trainer": {"iteration": 0}}, folder / "run" / "model_final.pth")
    (folder / "run" / "config.yaml").write_text(cfg.dump())
    return folder


def call(scenes: Path, *words: str) -> int:
    parser = argparse.ArgumentParser(epilog=label.EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    label.add_arguments(parser)
    paths = [str(scenes / part) for part in ("instances_val.json", "val", "run/model_final.pth")]
    given = ["--json", paths[0], "--images", paths[1], "--weights", paths[2], "--set", "MODEL.DEVICE", "cpu"]
    return label.run(parser.parse_args([*given, *words]))


def test_each_box_gets_a_mask(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "masks.json"
    words = ["--output", str(output), "--evaluate", "--review", "3", "--size", "64", "--no-mirror"]
    assert call(scenes, *words) == 0
    given, written = (json.loads(path.read_text()) for path in (scenes / "instances_val.json", output))
    assert [row["id"] for row in written["annotations"]] == [row["id"] for row in given["annotations"]]
    coco = COCO(str(output))
    for row in written["annotations"]:
        mask = coco.annToMask(row)
        x, y, width, height = row["bbox"]
        assert row["area"] == mask.sum() > 0 and 0 < row["score"] <= 1
        assert mask.sum() == mask[int(y) : round(y + height), int(x) : round(x + width)].sum()
    shown = capsys.readouterr().out
    assert f"{len(given['annotations'])} boxes labeled: {output}" in shown
    assert "mean IoU with" in shown and "of filled boxes" in shown
    page = tmp_path / "masks_review" / "review_001.png"
    assert f"review   {page}" in shown and np.asarray(Image.open(page)).shape[1] > 3 * 240


def test_polygons_depth_and_bad_images(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((scenes / "instances_val.json").read_text())
    content["images"][1]["file_name"] = "gone.png"
    for row in content["annotations"]:
        del row["segmentation"]
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps(content))
    words = ["--json", str(boxes), "--output", str(tmp_path / "out.json"), "--format", "polygons", "--size", "64"]
    assert call(scenes, *words, "--depth", str(scenes / "depth_val")) == 1
    assert "not labeled: " in (shown := capsys.readouterr()).err and "gone.png" in shown.err
    rows = json.loads((tmp_path / "out.json").read_text())["annotations"]
    labeled = [row for row in rows if row["image_id"] == content["images"][0]["id"]]
    assert labeled and all(isinstance(row["segmentation"][0], list) for row in labeled)
    assert all("segmentation" not in row for row in rows if row not in labeled)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights", "none.pth"], "none.pth does not exist"),
        (["--images", "nowhere"], "the folder nowhere does not exist"),
        (["--json", "none.json"], "none.json does not exist"),
        (["--size", "8"], "32 pixels or more"),
        (["--review", "-1"], "--review"),
        (["--depth", "nowhere"], "the depth folder nowhere does not exist"),
        (["--config-file", "none.yaml"], "none.yaml"),
    ],
)
def test_wrong_arguments_are_reported_and_nothing_is_written(
    scenes: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        call(scenes, "--output", str(tmp_path / "o.json"), *words)
    assert list(tmp_path.iterdir()) == []


def test_an_output_is_overwritten_only_on_request(scenes: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.json"
    output.write_text("mine")
    with pytest.raises(FileExistsError, match="--overwrite"):
        call(scenes, "--output", str(output))
    assert output.read_text() == "mine"
    assert call(scenes, "--output", str(output), "--overwrite", "--size", "64", "--no-mirror") == 0
    assert len(json.loads(output.read_text())["images"]) == 2


def test_a_repeated_job_is_recognized(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "o.json"
    words = ["--output", str(output), "--size", "64", "--no-mirror"]
    assert call(scenes, *words) == 0
    written = output.read_bytes()
    capsys.readouterr()
    assert call(scenes, *words, "--evaluate") == 0
    shown = capsys.readouterr().out
    assert "were labeled by an earlier call with the same inputs" in shown and "mean IoU with" in shown
    assert output.read_bytes() == written
    with pytest.raises(FileExistsError, match="--overwrite"):
        call(scenes, "--output", str(output), "--size", "96", "--no-mirror")


def test_other_class_names_and_findings_are_reported(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Classes do not matter for the masks, but names that the network does not have are reported."""
    content = json.loads((scenes / "instances_val.json").read_text())
    classes = {"categories": [{"id": n, "name": f"thing {n}"} for n in range(8)]}
    (tmp_path / "train.json").write_text(json.dumps(classes))
    content["annotations"][0]["bbox"][2] = 0
    content["annotations"][1]["iscrowd"] = 1
    content["annotations"] = content["annotations"][:3]
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    entry = repr([["mine", str(tmp_path / "train.json"), "images"]])
    words = ["--data", str(tmp_path / "boxes.json"), "--output", str(tmp_path / "o.json"), "--size", "64"]
    assert call(scenes, *words, "--set", "DATASETS.COCO_STYLE", entry, "DATASETS.TRAIN", "('mine',)") == 1
    shown = capsys.readouterr()
    assert "are not classes of the network" in shown.err and "labeling does not depend on classes" in shown.err
    assert "left out: 1 boxes whose width or height is not positive" in shown.err
    assert "annotations that are not labeled: 1" in shown.err and "1 crowds (iscrowd 1) are unchanged" in shown.out


def test_help_fits_80_columns_and_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(epilog=label.EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    label.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    shown = capsys.readouterr().out
    assert "examples:" in shown and "Exit status" in shown and len(label.SUMMARY) <= 68
    assert all(len(line) <= 80 for line in label.EXAMPLES.replace("%(prog)s", "depthbox label").splitlines())
