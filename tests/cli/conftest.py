"""Fixtures of the command line's tests."""

import json
from pathlib import Path

import pytest

from depthbox.data.synthetic.write import write_dataset


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight scenes: train/ and depth_train/, and boxes.json without any outline."""
    folder = tmp_path_factory.mktemp("scenes")
    truth = write_dataset(folder, 8, height=64, width=96)
    content = json.loads(truth.read_text())
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    (folder / "boxes.json").write_text(json.dumps(content))
    return folder
