"""tools/make_class_maps.py: files and messages."""

from pathlib import Path

import pytest
from coco_evaluation_toy import make_truth
from script_toy import load_script

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    return load_script(ROOT / "tools" / "make_class_maps.py")


def test_maps_are_written_and_counted(tool, tmp_path, capsys):
    make_truth(tmp_path / "truth.json")
    assert tool.main([str(tmp_path / "truth.json"), "--output", str(tmp_path / "maps")]) == 0
    assert f"6 class maps of 30 objects: {tmp_path / 'maps'}" in capsys.readouterr().out
    assert len(list((tmp_path / "maps").glob("*.png"))) == 6


def test_help_states_that_the_maps_contain_the_ground_truth(tool, capsys):
    with pytest.raises(SystemExit):
        tool.parse_arguments(["--help"])
    assert "upper bound" in capsys.readouterr().out
