"""tools/compare_labels.py on two scenes with a random network."""

import json
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from script_toy import load_script

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.data.synthetic.write import write_dataset

TOOL = Path("tools/compare_labels.py")


def load_tool():
    return load_script(TOOL)


def test_three_ways_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path, 2, height=72, width=96, split="val")
    words = ["MODEL.FPN.OUT_CHANNELS", "32", "INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "128"]
    cfg = load_config(add_depthbox_config, "tests/tiny.yaml", words)
    torch.manual_seed(0)
    torch.save({"model": build_model(cfg).state_dict()}, tmp_path / "model.pth")
    (tmp_path / "config.yaml").write_text(cfg.dump())
    paths = [str(tmp_path / part) for part in ("instances_val.json", "val", "model.pth", "out.json")]
    tool = load_tool()
    tool.main(["--json", paths[0], "--images", paths[1], "--weights", paths[2], "--output", paths[3]])
    shown = capsys.readouterr().out.splitlines()
    figures = json.loads((tmp_path / "out.json").read_text())
    names = ["detection at 64 pixels, matched", "detection at 96 pixels, matched", "depthbox label"]
    assert list(figures) == names and [line[:36].strip() for line in shown[1:]] == ["filled boxes", *names]
    # A random network detects nothing, so that each box is filled and has the IoU of the filled box.
    assert figures[names[0]]["masks"] == pytest.approx(figures[names[0]]["filled"]) != figures[names[2]]["masks"]
    assert f"{100 * figures[names[2]]['masks']:.1f}" in shown[-1]
    with pytest.raises((ValueError, OSError), match=r"none\.pth does not exist"):
        tool.main(["--json", paths[0], "--images", paths[1], "--weights", str(tmp_path / "none.pth")])
