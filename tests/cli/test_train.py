"""depthbox train on one's own boxes, from end to end, and what it says to mistakes."""

import json
import re

import pytest
import yaml

from depthbox.cli import train
from depthbox.cli.main import main, parse

TINY = ["--model", "tiny", "--device", "cpu", "--size", "64", "--batch-size", "2", "--iterations", "3"]


def words(scenes, *more):
    return ["train", "--data", str(scenes / "boxes.json"), "--images", str(scenes / "train"), *map(str, more)]


def one_line(capsys):
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err + shown.out and shown.err.strip(), shown
    return shown.err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory):
    """A finished training of three iterations with depth, without any true mask."""
    output = tmp_path_factory.mktemp("runs") / "mine"
    more = [*TINY, "--depth", scenes / "depth_train", "--val-share", "0.25", "--output", output]
    assert main(words(scenes, *more, "DATALOADER.NUM_WORKERS", "0")) == 0
    return output


def test_it_trains_and_writes_all_that_it_promises(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"config.yaml", "log.txt", "metrics.json", "model_final.pth", "data", "inference"} <= names
    sets = {name: json.loads((trained / "data" / f"{name}.json").read_text()) for name in ("train", "val")}
    files = {name: {image["file_name"] for image in part["images"]} for name, part in sets.items()}
    assert len(files["train"]) == 6 and len(files["val"]) == 2 and not files["train"] & files["val"]
    cfg = yaml.safe_load((trained / "config.yaml").read_text())
    assert (
        cfg["SOLVER"]["MAX_ITER"] == 3 and cfg["MODEL"]["DEPTH"]["CONSISTENCY"] and cfg["MODEL"]["DISTILL"]["ENABLED"]
    )
    assert cfg["MODEL"]["FCOS"]["NUM_CLASSES"] == len(sets["train"]["categories"])
    last = json.loads((trained / "metrics.json").read_text().splitlines()[-1])
    assert "bbox/AP" in last and not any(key.startswith("segm/") for key in last), "box AP alone"


def test_eval_finds_the_run(trained, capsys, tmp_path):
    report = tmp_path / "ap.json"
    assert main(["eval", "--run", str(trained), "--report", str(report)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^  boxes +(-|\d+\.\d\d)", shown, re.MULTILINE) and "no true masks" in shown
    assert set(json.loads(report.read_text())) == {"bbox"}
    before = (trained / "config.yaml").read_bytes()
    other = ["--data", str(trained / "data" / "train.json"), "--images", str(trained)]
    assert main(["eval", "--run", str(trained), *other]) == 2, "a folder without these images"
    assert "is missing or cannot be read" in one_line(capsys)
    assert (trained / "config.yaml").read_bytes() == before


def test_the_plan_fits_80_columns_and_trains_nothing(scenes, tmp_path, capsys):
    output = tmp_path / "plan"
    assert main(words(scenes, "--dry-run", "--device", "cpu", "--weights", "none", "--output", output)) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for part in ("7 images with", "test on   1 images: box AP alone", "boxinst", "random weights", "800 iterations"):
        assert part in shown
    assert [path.name for path in output.iterdir()] == ["data"]


def test_a_settings_file_says_the_same_and_the_command_line_wins(scenes, tmp_path, capsys):
    (tmp_path / "my.yaml").write_text(
        yaml.safe_dump(
            {
                "data": str(scenes / "boxes.json"),
                "images": str(scenes / "train"),
                "model": "tiny",
                "device": "cpu",
                "iterations": 40,
                "output": "out",
                "overrides": {"SOLVER": {"BASE_LR": 0.5}, "SEED": 7},
            }
        )
    )
    assert main(["train", "--settings", str(tmp_path / "my.yaml"), "--dry-run", "--iterations", "90"]) == 0
    shown = capsys.readouterr().out
    assert "90 iterations" in shown and "0.5 (ADAMW)" in shown and "divided by 10 at 60 and 80" in shown
    assert (tmp_path / "out" / "data" / "train.json").is_file(), "relative to the settings file"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("dta: x", "no option 'dta'; did you mean data?"),
        ("iterations: many", "iterations is 'many', not a int"),
        ("- 1", "must hold lines like"),
        ("a: [", "no valid YAML"),
    ],
)
def test_broken_settings(tmp_path, capsys, content, message):
    (tmp_path / "my.yaml").write_text(content)
    assert main(["train", "--settings", str(tmp_path / "my.yaml")]) == 2
    assert message in one_line(capsys)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "R50"], "did you mean R_50?"),
        (["--method", "depthbox"], "give --depth"),
        (["--weights", "gone.pth"], "no file of weights gone.pth"),
        (["--val-share", "1.5"], "--val-share is 1.5"),
        (["--val-data", "val.json"], "--val-data and --val-images belong together"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--config-file", "a.yaml"], "leave out --config-file"),
        (["SOLVER.BASE_LRR", "1"], "did you mean SOLVER.BASE_LR"),
        (["--images", "gone"], "there is no folder"),
        (["--data", "gone.json"], "there is no gone.json"),
        (["--depth", "gone"], "there is no folder gone"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(scenes, tmp_path, capsys, more, message):
    output = tmp_path / "out"
    assert main(words(scenes, "--device", "cpu", "--output", output, *more)) == 2
    assert message in one_line(capsys)
    assert not output.exists()


def test_neither_data_nor_config(capsys):
    assert main(["train"]) == 2
    assert "--data" in one_line(capsys)
    assert main(["train", "--config-file", "a.yaml", "--output", "o"]) == 2
    assert "--output goes with --data" in one_line(capsys)


def test_faulty_data_stop_it_with_what_was_found(scenes, tmp_path, capsys):
    content = json.loads((scenes / "boxes.json").read_text())
    for entry in content["annotations"]:
        entry["category_id"] = 99
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(content))
    more = ["--data", bad, "--device", "cpu", "--output", tmp_path / "out"]
    assert main(words(scenes, *more)) == 2
    shown = capsys.readouterr()
    assert "[nothing_to_learn]" in shown.out and "[category_unknown]" in shown.out
    assert "depthbox check --data" in shown.err
    assert not (tmp_path / "out").exists()


def test_options_and_overrides_in_any_order():
    arguments = parse(train, ["SEED", "-1", "--data", "a.json", "MODEL.DEVICE", "cpu", "--num-gpus", "2"])
    assert arguments.overrides == ["SEED", "-1", "MODEL.DEVICE", "cpu"] and arguments.num_gpus == 2
