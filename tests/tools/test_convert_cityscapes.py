"""tools/convert_cityscapes.py: options, both splits, messages."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from script_toy import load_script

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    return load_script(ROOT / "tools" / "convert_cityscapes.py")


@pytest.fixture
def data(tmp_path):
    ids = np.full((32, 64), 7, np.uint16)
    ids[4:16, 6:26] = 26000
    ids[20:23, 40:44] = 24000
    for split in ("train", "val"):
        image = tmp_path / "leftImg8bit" / split / "bonn" / "bonn_000000_000019_leftImg8bit.png"
        truth = tmp_path / "gtFine" / split / "bonn" / "bonn_000000_000019_gtFine_instanceIds.png"
        for path, pixels in ((image, np.zeros((32, 64, 3), np.uint8)), (truth, ids)):
            path.parent.mkdir(parents=True)
            Image.fromarray(pixels).save(path)
    return tmp_path


def test_both_splits_are_converted(tool, data, capsys):
    train, val = data / "new" / "train.json", data / "new" / "val.json"
    assert tool.main([str(data), "--split", "train", "--boxes-only", "--output", str(train)]) == 0
    assert "small objects (iscrowd)            0" in capsys.readouterr().out
    assert tool.main([str(data), "--split", "val", "--output", str(val), "--workers", "2"]) == 0
    out = capsys.readouterr().out
    assert "small objects (iscrowd)            1" in out and "  car                              1" in out
    assert f"register it with the image folder {data / 'leftImg8bit'}" in out
    boxes, masks = (json.loads(path.read_text())["annotations"] for path in (train, val))
    assert [a["bbox"] for a in boxes] == [a["bbox"] for a in masks] == [[40, 20, 4, 3], [6, 4, 20, 12]]
    assert all("segmentation" not in a for a in boxes) and all("segmentation" in a for a in masks)
    assert [a["iscrowd"] for a in boxes] == [0, 0] and [a["iscrowd"] for a in masks] == [1, 0]


def test_the_minimum_area_can_be_set(tool, data):
    assert tool.main([str(data), "--split", "val", "--min-area", "12", "--output", str(data / "x.json")]) == 0
    assert [a["iscrowd"] for a in json.loads((data / "x.json").read_text())["annotations"]] == [0, 0]


def test_a_mistake_leaves_no_file(tool, data):
    next((data / "gtFine" / "val").rglob("*.png")).unlink()
    with pytest.raises((ValueError, OSError), match=r"^1 of 1 images have neither"):
        tool.main([str(data), "--split", "val", "--output", str(data / "new" / "x.json")])
    assert not (data / "new").exists()


def test_help_lists_the_options(tool, capsys):
    with pytest.raises(SystemExit) as end:
        tool.parse_arguments(["--help"])
    assert end.value.code == 0 and "--boxes-only" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        tool.parse_arguments(["somewhere", "--split", "test", "--output", "x.json"])
