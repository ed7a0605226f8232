"""tools/ablate.py: options, list, collection of results, and (slow) real training runs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from script_toy import load_script

from depthbox.data.synthetic.write import write_dataset

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "ablate.py"
CONFIG = """
_BASE_: "{base}"
DATASETS:
  COCO_STYLE: [["ablate_tiny", "{data}/instances_val.json", "{data}/val", "{data}/depth_val"]]
  TRAIN: ("ablate_tiny",)
  TEST: ("ablate_tiny",)
MODEL:
  FPN:
    OUT_CHANNELS: 32
  BOXINST:
    PAIRWISE:
      COLOR_THRESH: {threshold}
INPUT:
  MIN_SIZE_TRAIN: (64,)
  MIN_SIZE_TEST: 64
SOLVER:
  IMS_PER_BATCH: 2
  MAX_ITER: 2
  STEPS: (1,)
  CHECKPOINT_PERIOD: 1
"""


@pytest.fixture(scope="module")
def tool():
    return load_script(SCRIPT)


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    write_dataset(folder / "data", 4, height=64, width=64, split="val")
    base = ROOT / "tests" / "tiny.yaml"
    for name, threshold in (("first", 0.3), ("second", 0.1)):
        text = CONFIG.format(base=base, data=folder / "data", threshold=threshold)
        (folder / f"{name}.yaml").write_text(text)
    return [str(folder / "first.yaml"), str(folder / "second.yaml")]


def test_configs_and_settings_are_separated(tool):
    words = [
        "a.yaml",
        "b.yaml",
        "SOLVER.MAX_ITER",
        "5",
        "--seeds",
        "0",
        "1",
        "--output",
        "o",
        "--devices",
        "cpu",
        "cpu",
    ]
    arguments = tool.parse_arguments(words)
    assert arguments.configs == ["a.yaml", "b.yaml"] and arguments.overrides == ["SOLVER.MAX_ITER", "5"]
    assert arguments.seeds == [0, 1] and arguments.devices == ["cpu", "cpu"] and not arguments.gather
    with pytest.raises(SystemExit):
        tool.parse_arguments(["SOLVER.MAX_ITER", "5", "--output", "o"])


def test_list_prints_the_runs_without_running_them(tool, configs, tmp_path, capsys):
    words = [*configs, "--seeds", "0", "7", "--output", str(tmp_path / "out"), "--names", "one", "two"]
    assert tool.main([*words, "--devices", "cpu", "--list"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("to start, 2 iterations") == 4 and "two/seed_7" in shown and "MODEL.DEVICE cpu" in shown
    assert not (tmp_path / "out").exists()


def test_gather_accepts_unfinished_runs(tool, configs, tmp_path, capsys):
    assert tool.main([*configs, "--output", str(tmp_path), "--gather"]) == 0
    rows = json.loads((tmp_path / "ablation.json").read_text())["rows"]
    assert [row["seeds"] for row in rows] == [[], []] and "second" in capsys.readouterr().out
    assert not (tmp_path / "ablation.png").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [(["--devices", "cuda:77"], "cuda:77"), (["SEED", "3"], "--seeds"), (["--names", "a"], "1 names for 2 configs")],
)
def test_mistakes_name_the_option(tool, configs, tmp_path, more, message):
    with pytest.raises((ValueError, OSError), match=message):
        tool.main([*configs, *more, "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_help_shows_examples(tool, capsys):
    with pytest.raises(SystemExit):
        tool.parse_arguments(["--help"])
    shown = capsys.readouterr().out
    assert "--gather" in shown and "two at a time" in shown


@pytest.mark.slow
def test_two_configs_are_trained_with_two_seeds(configs, tmp_path):
    command = [sys.executable, str(SCRIPT), *configs, "--seeds", "0", "1", "--output", str(tmp_path)]
    command += ["--devices", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((tmp_path / "ablation.json").read_text())
    assert [row["name"] for row in content["rows"]] == ["first", "second"]
    for row in content["rows"]:
        assert row["seeds"] == [0, 1] and all(0 <= value <= 100 for value in row["mask_AP"] + row["box_AP"])
    assert content["generator"].startswith("DepthBox synthetic scenes, version")
    assert np.asarray(Image.open(tmp_path / "ablation.png")).std() > 0
    final = tmp_path / "second" / "seed_1" / "model_final.pth"
    age = final.stat().st_mtime_ns
    (tmp_path / "first" / "seed_0" / "last_evaluation").unlink()  # as if killed in the last evaluation
    again = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0 and "3 of 4 runs are finished" in again.stdout, again.stdout + again.stderr
    assert "Resuming from" in (tmp_path / "first" / "seed_0" / "console.txt").read_text()
    assert json.loads((tmp_path / "ablation.json").read_text())["rows"] == content["rows"]
    assert final.stat().st_mtime_ns == age
