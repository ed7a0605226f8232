"""The whole road from points to a network for new images: files, messages, stages, resuming after a kill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog

import depthbox
from depthbox.cli.main import main
from depthbox.data import datasets
from depthbox.data.synthetic.write import write_dataset

TINY = ["--model", "tiny", "--device", "cpu", "--size", "64", "--batch-size", "2", "--iterations", "3"]
# Runs the command line, and kills its own process when a function is called for the n-th time.
KILLER = """
import os, signal, sys
from importlib import import_module
from depthbox.cli.main import main
module, owner, name, number, folder = sys.argv[1:6]
place = import_module(module)
place = getattr(place, owner) if owner else place
known, calls = getattr(place, name), [0]
def call(*args, **options):
    if folder in ("any", os.path.basename(str(getattr(args[0], "folder", "")))):
        calls[0] += 1
        if calls[0] == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
    return known(*args, **options)
setattr(place, name, call)
sys.exit(main(sys.argv[6:]))
"""
STORE, PARTS = ("depthbox.checkpoint.store", "CheckpointStore", "save"), "depthbox.custom_data.points.run"
MOMENTS = {
    "before the first iteration of A": (*STORE, "1", "A"),
    "in A": (*STORE, "2", "A"),
    "before the masks": (PARTS, "", "label_dataset", "1", "any"),
    "between two images": ("depthbox.labeling.partial_results", "PartialResults", "add", "4", "any"),
    "before B": (PARTS, "", "configure_segmentor", "1", "any"),
    "in B": (*STORE, "2", "B"),
}


@pytest.fixture(scope="module")
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


def forget_datasets():
    """Unregister the datasets of runs, as a new process would."""
    for name in [name for name in datasets._registered if not name.startswith("coco_2017")]:
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name)
        del datasets._registered[name]


def last_line(capsys):
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err + shown.out and shown.err.strip(), shown
    return shown.err.strip().splitlines()[-1]


def read_weights(path):
    return torch.load(path, weights_only=True)["model"]


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def trained(point_scenes, tmp_path_factory):
    """A finished run of three iterations per stage, and what it printed."""
    output = tmp_path_factory.mktemp("runs") / "mine"
    assert main(train_words(point_scenes, output)) == 0
    return output


def test_both_stages_and_the_masks_are_in_one_folder(trained):
    assert {path.name for path in trained.iterdir()} == {"A", "B", "data", "labels.json", "stages.json"}
    labels = json.loads((trained / "labels.json").read_text())["annotations"]
    points = json.loads((trained / "data" / "train.json").read_text())["annotations"]
    assert [entry["id"] for entry in labels] == [entry["id"] for entry in points]
    assert all(entry["segmentation"] and 0 <= entry["score"] <= 1 and entry["area"] > 0 for entry in labels)
    assert not any("bbox" in entry or "segmentation" in entry for entry in points)
    stage_a, stage_b = (yaml.safe_load((trained / stage / "config.yaml").read_text()) for stage in "AB")
    assert stage_a["MODEL"]["META_ARCHITECTURE"] == "P2Seg" and stage_a["DATASETS"]["TEST"] == []
    assert stage_b["MODEL"]["MASK_SUPERVISION"] == "mask" and stage_b["INPUT"]["OBJECT_WEIGHT"] == "score"
    assert stage_b["DATASETS"]["COCO_STYLE"][0][1] == str(trained / "labels.json")


def test_the_next_steps_name_the_network_for_new_images(trained, point_scenes, capsys):
    forget_datasets()
    assert main(train_words(point_scenes, trained, "--resume")) == 0
    shown = capsys.readouterr().out
    weights = trained / "B" / "model_final.pth"
    assert f"depthbox predict {point_scenes / 'train'} --weights {weights}" in shown
    assert shown.count("is finished: all 3 iterations are done") == 2 and ", from an earlier call" in shown
    assert "for masks of points" in (trained / "A" / "report.html").read_text()


def test_the_network_of_points_refuses_images_alone_in_words(trained, point_scenes, tmp_path, capsys):
    weights = str(trained / "A" / "model_final.pth")
    commands = {
        "predict": [
            str(point_scenes / "train" / "000000.png"),
            "--weights",
            weights,
            "--output",
            str(tmp_path / "found"),
        ],
        "export": ["--weights", weights, "--output", str(tmp_path / "net.onnx")],
    }
    for name, words in commands.items():
        assert main([name, *words]) == 2
        assert "holds a P2Seg, which makes masks of points" in last_line(capsys)
    assert main(["predict", *commands["predict"]]) == 2
    assert str(trained / "B" / "model_final.pth") in last_line(capsys)
    with pytest.raises(ValueError, match="of stage B of the training run"):
        depthbox.load(trained / "A")
    assert not any(tmp_path.iterdir())


def test_the_folder_of_both_stages_stands_for_the_network_for_new_images(trained, point_scenes, capsys):
    network = depthbox.load(trained, device="cpu")
    assert str(trained / "B") == network.cfg.OUTPUT_DIR
    assert main(["report", str(trained)]) == 0
    assert str(trained / "B" / "report.html") in capsys.readouterr().out
    truth = ["--data", str(point_scenes / "truth.json"), "--images", str(point_scenes / "train")]
    forget_datasets()
    assert main(["eval", "--run", str(trained), *truth]) == 0
    assert "masks" in capsys.readouterr().out


def test_other_data_and_other_methods_are_refused_when_resuming(trained, point_scenes, tmp_path, capsys):
    content = json.loads((point_scenes / "points.json").read_text())
    content["annotations"][0]["point_coords"] = [[1.0, 2.0]]
    moved = tmp_path / "moved.json"
    moved.write_text(json.dumps(content))
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    assert main(train_words(point_scenes, trained, "--resume", "--data", moved)) == 2
    assert "--resume: the train data differ from those of the run" in last_line(capsys)
    assert main(train_words(point_scenes, trained, "--resume", "--data", point_scenes / "truth.json")) == 2
    assert "was trained with --method p2seg" in last_line(capsys)
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_the_stages_can_be_run_one_by_one(point_scenes, trained, tmp_path, capsys):
    output = tmp_path / "mine"
    assert main(train_words(point_scenes, output, "--stage", "b")) == 2
    assert "run --stage a first" in last_line(capsys) and not output.exists()
    forget_datasets()
    assert main(train_words(point_scenes, output, "--stage", "a")) == 0
    assert "--stage b" in capsys.readouterr().out and not (output / "B").exists()
    assert (output / "labels.json").is_file()
    forget_datasets()
    assert main(train_words(point_scenes, output, "--stage", "b", "--dry-run")) == 0
    plan = capsys.readouterr().out
    assert "stage A" not in plan and "read from" in plan
    assert main(train_words(point_scenes, output, "--stage", "b")) == 0
    for name in ("A/model_final.pth", "B/model_final.pth"):
        assert equal(read_weights(output / name), read_weights(trained / name)), name
    first = (output / "B" / "model_final.pth").read_bytes()
    forget_datasets()
    assert main(train_words(point_scenes, output, "--stage", "b", "SEED", "3")) == 0
    assert (output / "B" / "earlier_1" / "model_final.pth").read_bytes() == first
    assert {path.name for path in output.iterdir()} == {"A", "B", "data", "labels.json", "stages.json"}
    (output / "labels.json").write_text((output / "labels.json").read_text() + "\n")
    assert main(train_words(point_scenes, output, "--stage", "b", "--resume")) == 2
    assert "was trained on other masks than those of stage A now" in last_line(capsys)


def test_a_settings_file_has_the_options_of_points(point_scenes, tmp_path, capsys):
    lines = [
        f"data: {point_scenes / 'points.json'}",
        f"images: {point_scenes / 'train'}",
        "output: mine",
        "model: tiny",
        "device: cpu",
        "class_maps: maps",
        "overrides: {A: {SOLVER: {BASE_LR: 0.125}}, B.SOLVER.BASE_LR: 0.25}",
    ]
    file = tmp_path / "my.yaml"
    file.write_text("\n".join(lines))
    assert main(["train", "--settings", str(file), "--dry-run"]) == 2
    assert f"{tmp_path / 'maps'} does not exist: correct --class-maps" in last_line(capsys)
    (tmp_path / "maps").mkdir()
    assert main(["train", "--settings", str(file), "--dry-run"]) == 0
    plan = capsys.readouterr().out
    assert "0.125 (ADAMW)" in plan and "0.25 (ADAMW)" in plan and "PNG files" in plan
    assert main(["train", "--settings", str(file), "--dry-run", "--stage", "b"]) == 2
    assert "run --stage a first" in last_line(capsys)


def test_a_dry_run_writes_nothing_and_a_refused_run_leaves_nothing(point_scenes, tmp_path, capsys):
    output = tmp_path / "mine"
    assert main(train_words(point_scenes, output, "--dry-run")) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80 and "stage A" in shown and "stage B" in shown
    assert not output.exists()
    assert main(train_words(point_scenes, output, "--weights", "package:no_such_package_of_weights")) == 2
    assert not output.exists()
    for more, message in (
        (["--method", "boxinst"], "leave out --method (p2seg makes masks of points)"),
        (["--class-maps", tmp_path / "gone"], "does not exist: correct --class-maps"),
        (["A.SOLVER.BASE_LRR", "1"], "did you mean SOLVER.BASE_LR"),
        (["--model", "hrnet_w19"], "unknown model"),
    ):
        assert main(train_words(point_scenes, output, *more)) == 2
        assert message in last_line(capsys) and not output.exists()


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_killed_continues_bit_for_bit(moment, point_scenes, trained, tmp_path):
    output = tmp_path / "mine"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLER, *MOMENTS[moment], *train_words(point_scenes, output)]
    killed = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert not (output / "B" / "model_final.pth").exists()
    forget_datasets()
    assert main(train_words(point_scenes, output, "--resume")) == 0
    for name in ("A/model_final.pth", "B/model_final.pth"):
        assert equal(read_weights(output / name), read_weights(trained / name)), name
    ours, expected = (json.loads((folder / "labels.json").read_text())["annotations"] for folder in (output, trained))
    assert ours == expected
