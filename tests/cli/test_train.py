"""``depthbox train`` on a user's own boxes, from end to end, and its error messages."""

import json
import re
import shlex
import shutil

import pytest
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog

from depthbox import add_depthbox_config
from depthbox.checkpoint.run_weights import find_weights
from depthbox.cli import train
from depthbox.cli.main import main, parse
from depthbox.config import load_config
from depthbox.data import datasets

TINY = ["--model", "tiny", "--device", "cpu", "--size", "64", "--batch-size", "2", "--iterations", "3"]


def words(scenes, *more):
    return ["train", "--data", str(scenes / "boxes.json"), "--images", str(scenes / "train"), *map(str, more)]


def one_line(capsys):
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err + shown.out and shown.err.strip(), shown
    return shown.err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory):
    """A finished training run of three iterations with depth, without ground-truth masks."""
    output = tmp_path_factory.mktemp("runs") / "mine"
    more = [*TINY, "--depth", scenes / "depth_train", "--val-share", "0.25", "--output", output]
    assert main(words(scenes, *more, "DATALOADER.NUM_WORKERS", "0")) == 0
    return output


def test_training_writes_the_documented_files(trained):
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
    assert re.search(r"^  boxes +(-|\d+\.\d\d)", shown, re.MULTILINE) and "no ground-truth masks" in shown
    assert set(json.loads(report.read_text())) == {"bbox"}
    before = (trained / "config.yaml").read_bytes()
    other = ["--data", str(trained / "data" / "train.json"), "--images", str(trained)]
    assert main(["eval", "--run", str(trained), *other]) == 2, "a folder without these images"
    assert "no image of" in one_line(capsys)
    assert (trained / "config.yaml").read_bytes() == before


def test_the_plan_fits_80_columns_and_trains_nothing(scenes, tmp_path, capsys):
    output = tmp_path / "plan"
    assert main(words(scenes, "--dry-run", "--device", "cpu", "--weights", "none", "--output", output)) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for part in ("7 images with", "test on   1 images: box AP only", "boxinst", "random weights", "800 iterations"):
        assert part in shown
    assert [path.name for path in output.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "R50"], "did you mean R_50?"),
        (["--method", "depthbox"], "give --depth"),
        (["--weights", "gone.pth"], "the weight file gone.pth does not exist"),
        (["--val-share", "1.5"], "--val-share is 1.5"),
        (["--val-images", "val"], "--val-images goes with --val-data"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--config-file", "a.yaml"], "leave out --config-file"),
        (["SOLVER.BASE_LRR", "1"], "did you mean SOLVER.BASE_LR"),
        (["--images", "gone"], "the folder gone does not exist"),
        (["--data", "gone.json"], "gone.json does not exist"),
        (["--depth", "gone"], "the folder gone does not exist"),
    ],
)
def test_wrong_options_give_one_line_and_write_nothing(scenes, tmp_path, capsys, more, message):
    output = tmp_path / "out"
    assert main(words(scenes, "--device", "cpu", "--output", output, *more)) == 2
    assert message in one_line(capsys)
    assert not output.exists()


def test_data_or_a_config_file_is_required(capsys):
    assert main(["train"]) == 2
    assert "--data" in one_line(capsys)
    assert main(["train", "--config-file", "a.yaml", "--output", "o"]) == 2
    assert "--output goes with --data" in one_line(capsys)


def test_errors_in_the_data_stop_training_with_the_findings(scenes, tmp_path, capsys):
    content = json.loads((scenes / "boxes.json").read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(content))
    more = ["--data", bad, "--device", "cpu", "--output", tmp_path / "out"]
    assert main(words(scenes, *more)) == 2
    shown = capsys.readouterr()
    assert "[all_crowds]" in shown.out and "depthbox check --data" in shown.err
    assert not (tmp_path / "out").exists()


def test_an_object_of_an_unknown_class_is_left_out_and_reported(scenes, tmp_path, capsys):
    content = json.loads((scenes / "boxes.json").read_text())
    content["annotations"][0]["category_id"] = 99
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(content))
    more = ["--data", bad, *TINY, "--val-share", "0", "--dry-run", "--output", tmp_path / "out"]
    assert main(words(scenes, *more)) == 0
    count = len(content["annotations"])
    assert f"with {count - 1} objects" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "out" / "data" / "train.json").read_text())["annotations"]) == count - 1


def list_files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def forget_datasets():
    """Unregister the datasets of runs, as a new process would."""
    for name in [name for name in datasets._registered if not name.startswith("coco_2017")]:
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name)
        del datasets._registered[name]


def test_dry_runs_and_refused_commands_leave_a_run_unchanged(scenes, trained, tmp_path, capsys):
    output = tmp_path / "run"
    shutil.copytree(trained, output)
    before = list_files(output)
    again = words(scenes, *TINY, "--val-share", "0.5", "--output", output)
    assert main([*again, "--dry-run"]) == 0
    assert main([*again, "--resume"]) == 2
    assert "--resume: the train data differ from those" in one_line(capsys)
    assert main([*again, "--weights", "package:no_such_package_of_weights"]) == 2
    assert list_files(output) == before, "the refused run puts the earlier one back"


def test_a_second_run_sets_the_first_aside_complete(scenes, trained, tmp_path, capsys):
    output = tmp_path / "second"
    shutil.copytree(trained, output)
    config = (output / "config.yaml").read_text().replace(str(trained), str(output))
    (output / "config.yaml").write_text(config)
    first = (output / "model_final.pth").read_bytes()
    assert main(words(scenes, *TINY, "--val-share", "0.5", "--output", output, "DATALOADER.NUM_WORKERS", "0")) == 0
    earlier = output / "earlier_1"
    assert (earlier / "model_final.pth").read_bytes() == first != (output / "model_final.pth").read_bytes()
    kept = json.loads((earlier / "data" / "train.json").read_text())
    new = json.loads((output / "data" / "train.json").read_text())
    assert (len(kept["images"]), len(new["images"])) == (6, 4)
    forget_datasets()
    assert main(["eval", "--run", str(earlier)]) == 0
    forget_datasets()
    assert main(["eval", "--run", str(output)]) == 0


def test_the_next_steps_work_without_validation_images(scenes, tmp_path, capsys, monkeypatch):
    output = tmp_path / "out"
    assert main(words(scenes, *TINY, "--val-share", "0", "--output", output, "DATALOADER.NUM_WORKERS", "0")) == 0
    lines = capsys.readouterr().out.split("next:")[1].split("depthbox ")[1:]
    monkeypatch.chdir(tmp_path)
    for line in lines:
        assert main(shlex.split(line)) == 0, line
    assert main(["eval", "--run", str(output)]) == 2
    assert "has no test images: name annotations with --data" in one_line(capsys)


def test_the_next_steps_and_eval_use_the_same_weights(trained, capsys):
    cfg = load_config(add_depthbox_config, str(trained / "config.yaml"), ["OUTPUT_DIR", str(trained)])
    steps = train.format_next_steps(cfg)
    assert str(find_weights(trained)) in steps and f"depthbox eval --run {trained}" in steps


def test_eval_matches_classes_by_name(scenes, trained, tmp_path, capsys):
    content = json.loads((scenes / "boxes.json").read_text())
    names = [category["name"] for category in content["categories"]]
    ids = {category["id"]: f"id {category['id']}" for category in content["categories"]}
    content["categories"] = [{**c, "id": ids[c["id"]], "name": c["name"].upper()} for c in content["categories"][::-1]]
    for annotation in content["annotations"]:
        annotation["category_id"] = ids[annotation["category_id"]]
    (tmp_path / "other.json").write_text(json.dumps(content))
    reports = []
    for data in (scenes / "boxes.json", tmp_path / "other.json"):
        report = tmp_path / f"{data.stem}_ap.json"
        more = ["--data", data, "--images", scenes / "train", "--report", report]
        assert main(["eval", "--run", str(trained), *map(str, more)]) == 0
        reports.append(json.loads(report.read_text()))
    assert reports[0] == reports[1]
    content["categories"][0]["name"] = "zebra"
    (tmp_path / "other.json").write_text(json.dumps(content))
    more = ["--data", str(tmp_path / "other.json"), "--images", str(scenes / "train")]
    assert main(["eval", "--run", str(trained), *more]) == 2
    line = one_line(capsys)
    assert "zebra" in line and all(name in line for name in names)


def test_options_and_overrides_in_any_order():
    arguments = parse(train, ["SEED", "-1", "--data", "a.json", "MODEL.DEVICE", "cpu", "--num-gpus", "2"])
    assert arguments.overrides == ["SEED", "-1", "MODEL.DEVICE", "cpu"] and arguments.num_gpus == 2
