"""Scenes with one point per object, and runs of the command line on them."""

import json
from pathlib import Path

import pytest

from depthbox.data.synthetic.write import write_dataset

TINY = ["--model", "tiny", "--device", "cpu", "--size", "64", "--batch-size", "2", "--iterations", "3"]


@pytest.fixture(scope="session")
def point_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight scenes: train/, depth_train/, points.json with the centers of the boxes, and truth.json with masks."""
    folder = tmp_path_factory.mktemp("point_scenes")
    truth = write_dataset(folder, 8, height=64, width=96)
    content = json.loads(truth.read_text())
    (folder / "truth.json").write_text(json.dumps(content))
    for entry in content["annotations"]:
        x, y, width, height = entry["bbox"]
        entry |= {"point_coords": [[x + width / 2, y + height / 2]], "point_labels": [1]}
        for key in ("bbox", "segmentation", "area"):
            del entry[key]
    (folder / "points.json").write_text(json.dumps(content))
    return folder


def train_words(scenes: Path, output: Path, *more: object) -> list[str]:
    """Return the words of `depthbox train` on the points."""
    data = ["--data", str(scenes / "points.json"), "--images", str(scenes / "train"), "--output", str(output)]
    return ["train", *data, *TINY, *map(str, more), "DATALOADER.NUM_WORKERS", "0"]
