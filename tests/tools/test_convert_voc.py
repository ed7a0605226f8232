"""tools/convert_voc.py: options and messages."""

import json
from pathlib import Path

import numpy as np
import pytest
from script_toy import load_script
from voc_toy import SIZE, write_sbd, write_voc

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    return load_script(ROOT / "tools" / "convert_voc.py")


def test_splits_are_converted(tool, tmp_path, capsys):
    root = write_voc(tmp_path / "VOC2012")
    output = tmp_path / "new" / "val.json"
    assert tool.main([str(tmp_path), "--split", "val", "--boxes-only", "--output", str(output), "--workers", "2"]) == 0
    out = capsys.readouterr().out
    assert "images                             2" in out and "  dog                              2" in out
    assert f"register it with the image folder {root / 'JPEGImages'}" in out
    assert all("segmentation" not in entry for entry in json.loads(output.read_text())["annotations"])
    sbd = write_sbd(tmp_path / "dataset", np.ones(SIZE), [3])
    assert tool.main([str(root), "--split", "train_aug", "--sbd", str(sbd), "--output", str(output)]) == 0
    assert "  with the objects of SBD          1" in capsys.readouterr().out
    assert json.loads(output.read_text())["annotations"][-1]["category_id"] == 3


def test_help_lists_the_options(tool, capsys):
    with pytest.raises(SystemExit) as end:
        tool.parse_arguments(["--help"])
    assert end.value.code == 0 and "--sbd" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        tool.parse_arguments(["somewhere", "--split", "test", "--output", "x.json"])
