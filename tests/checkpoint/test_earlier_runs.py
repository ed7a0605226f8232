"""Earlier training runs, set aside as a whole: usable in their new folder, and never lost."""

import os
import signal
from pathlib import Path

import pytest
import yaml

from depthbox.checkpoint.earlier_runs import (
    complete_set_aside,
    follow_weights,
    is_run,
    read_configs,
    restore_run,
    set_aside_run,
)
from depthbox.checkpoint.run_files import find_run

FILES = {
    "config.yaml": "",
    "run.json": "{}",
    "metrics.json": "{}",
    "log.txt": "a log",
    "log.txt.rank1": "a log",
    "events.out.tfevents.1.host": "events",
    "model_0000004.pth": "numbered",
    "model_final.pth": "final",
    "model_best.pth": "best",
    "model_0000002.pth.broken": "broken",
    "model_final.onnx": "exported",
    "last_checkpoint": "model_final.pth",
    "last_evaluation": "8",
    "report.html": "page",
    "wandb_run_id": "abc",
    "inference/val/coco_instances_results.json": "[]",
    "visualize/sheet_0.png": "sheet",
}
OTHERS = {"notes.txt": "mine", "photos/a.jpg": "image", "data/boxes.json": "source", "earlier_run_1/x": "older version"}


def fill(folder: Path, **contents: str) -> dict[str, str]:
    """Write the files of a training run, other files, and the data of the run; return the config's tree."""
    tree = {
        "OUTPUT_DIR": str(folder),
        "DATASETS": {
            "COCO_STYLE": [
                ["made", str(folder / "data" / "train.json"), str(folder / "photos"), ""],
                ["outside", "elsewhere/val.json", "elsewhere/photos", ""],
            ]
        },
        "SOLVER": {"STEPS": [1, 2]},
    }
    files = {**FILES, **OTHERS, "data/train.json": "annotations", "config.yaml": yaml.safe_dump(tree), **contents}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return tree


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_whole_run_is_moved_and_other_files_stay(tmp_path, caplog):
    tree = fill(tmp_path)
    (tmp_path / ".model_0000009.pth.abc.tmp").write_text("half")
    with caplog.at_level("WARNING"):
        aside = set_aside_run(str(tmp_path))
    assert aside == tmp_path / "earlier_1"
    assert f"It is now in {aside}" in caplog.text and f"depthbox eval --run {aside}" in caplog.text
    moved = contents(aside)
    config = yaml.safe_load(moved.pop("config.yaml"))
    assert moved == {**{k: v for k, v in FILES.items() if k != "config.yaml"}, "data/train.json": "annotations"}
    assert config["OUTPUT_DIR"] == str(aside)
    made, outside = config["DATASETS"]["COCO_STYLE"]
    assert made == ["made", str(aside / "data" / "train.json"), str(tmp_path / "photos"), ""]
    assert outside == tree["DATASETS"]["COCO_STYLE"][1] and config["SOLVER"] == tree["SOLVER"]
    left = {name: text for name, text in contents(tmp_path).items() if not name.startswith("earlier_1/")}
    assert left == {**OTHERS, "data/train.json": "annotations"}


def test_folders_are_numbered(tmp_path):
    assert set_aside_run(tmp_path / "missing") is None
    assert set_aside_run(tmp_path) is None
    for number in (1, 2):
        fill(tmp_path, **{"model_final.pth": f"of run {number}"})
        assert set_aside_run(tmp_path) == tmp_path / f"earlier_{number}"
        assert set_aside_run(tmp_path) is None
    assert (tmp_path / "earlier_1" / "model_final.pth").read_text() == "of run 1"
    assert (tmp_path / "earlier_2" / "model_final.pth").read_text() == "of run 2"


def test_evaluation_alone_is_not_a_run(tmp_path):
    for name in ("log.txt", "inference/val/coco_instances_results.json", "data/train.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    before = contents(tmp_path)
    assert set_aside_run(tmp_path) is None
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "DATASETS: {COCO_STYLE: [3]}"])
def test_foreign_config_is_kept_as_it_is(tmp_path, caplog, text):
    fill(tmp_path, **{"config.yaml": text})
    aside = set_aside_run(tmp_path)
    assert (aside / "config.yaml").read_text() == text
    assert "config.yaml is not the config of a training run" in caplog.text


def test_data_of_another_earlier_run_are_not_copied(tmp_path):
    tree = fill(tmp_path)
    first = set_aside_run(tmp_path)
    entry = ["again", str(first / "data" / "train.json"), str(tmp_path / "photos"), ""]
    tree["DATASETS"]["COCO_STYLE"] = [entry]
    fill(tmp_path, **{"config.yaml": yaml.safe_dump(tree)})
    second = set_aside_run(tmp_path)
    assert yaml.safe_load((second / "config.yaml").read_text())["DATASETS"]["COCO_STYLE"] == [entry]
    assert not (second / "earlier_1").exists()


def test_relative_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(Path("out"))
    aside = set_aside_run("out")
    assert aside == Path("out/earlier_1")
    config = yaml.safe_load((aside / "config.yaml").read_text())
    assert config["OUTPUT_DIR"] == "out/earlier_1"
    assert config["DATASETS"]["COCO_STYLE"][0][1] == str(tmp_path / "out" / "earlier_1" / "data" / "train.json")


def die_at(number: int) -> None:
    """Kill this process instead of its rename of that number."""
    rename, replace, calls = Path.rename, Path.replace, []

    def count() -> None:
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    Path.rename = lambda *paths: (count(), rename(*paths))[1]
    Path.replace = lambda *paths: (count(), replace(*paths))[1]


@pytest.mark.parametrize("number", [1, 2, 9, 16, 17, 18])
def test_killed_at_any_moment_nothing_is_lost_and_the_next_call_completes(tmp_path, number):
    fill(tmp_path / "killed")
    fill(tmp_path / "whole")
    child = os.fork()
    if child == 0:
        die_at(number)
        set_aside_run(tmp_path / "killed")
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    found = list(contents(tmp_path / "killed").values())
    assert all(text in found for text in FILES.values() if text)
    if number < 18:
        assert not (tmp_path / "killed" / "earlier_1").exists()
    set_aside_run(tmp_path / "whole")
    assert complete_set_aside(tmp_path / "killed") == tmp_path / "killed" / "earlier_1"
    expected = {name: text.replace("whole", "killed") for name, text in contents(tmp_path / "whole").items()}
    assert {n: t for n, t in contents(tmp_path / "killed").items() if not n.endswith(".tmp")} == expected


def test_only_an_interrupted_call_is_completed(tmp_path):
    fill(tmp_path)
    before = contents(tmp_path)
    assert complete_set_aside(tmp_path) is None
    assert contents(tmp_path) == before


def test_files_of_the_new_run_are_not_taken_for_those_of_an_interrupted_call(tmp_path):
    (tmp_path / "earlier_1.incomplete").mkdir()
    (tmp_path / "earlier_1.incomplete" / "config.yaml").write_text("old")
    (tmp_path / "config.yaml").write_text("new")
    set_aside_run(tmp_path)
    assert (tmp_path / "earlier_1" / "config.yaml").read_text() == "old"
    assert (tmp_path / "config.yaml").read_text() == "new"


def test_weights_are_followed_into_the_earlier_run(tmp_path):
    fill(tmp_path)
    weights = str(tmp_path / "model_final.pth")
    aside = set_aside_run(tmp_path)
    assert follow_weights(weights, aside) == str(aside / "model_final.pth")
    assert follow_weights(weights, None) == weights
    for other in ("", "https://example.org/model_final.pth", str(tmp_path / "notes.txt"), "model_final.pth"):
        assert follow_weights(other, aside) == other


def fill_stages(folder):
    """Write a run in two stages."""
    for stage, file in (("A", folder / "data" / "train.json"), ("B", folder / "labels.json")):
        (folder / stage).mkdir(parents=True)
        entries = [[f"{stage}_train", str(file), "/photos", ""], ["val", str(folder / "data" / "val.json"), "/val", ""]]
        tree = {"OUTPUT_DIR": str(folder / stage), "DATASETS": {"COCO_STYLE": entries}}
        (folder / stage / "config.yaml").write_text(yaml.safe_dump(tree))
        (folder / stage / "model_final.pth").write_text(f"weights of {stage}")
    (folder / "data").mkdir()
    for name in ("data/train.json", "data/val.json", "labels.json", "stages.json"):
        (folder / name).write_text(f"content of {name}")
    (folder / "notes.txt").write_text("mine")


def test_a_run_in_two_stages_is_set_aside_and_restored_as_a_whole(tmp_path):
    fill_stages(tmp_path)
    before = contents(tmp_path)
    configs = read_configs(tmp_path)
    assert is_run(tmp_path) and set(configs) == {"A/config.yaml", "B/config.yaml"}
    aside = set_aside_run(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "earlier_1", "notes.txt"]
    for stage, file in (("A", "data/train.json"), ("B", "labels.json")):
        tree = yaml.safe_load((aside / stage / "config.yaml").read_text())
        assert tree["OUTPUT_DIR"] == str(aside / stage)
        first, second = tree["DATASETS"]["COCO_STYLE"]
        assert first == [f"{stage}_train", str(aside / file), "/photos", ""]
        assert second[1] == str(aside / "data" / "val.json")
        assert (aside / file).read_text() == f"content of {file}"
        assert (aside / stage / "model_final.pth").read_text() == f"weights of {stage}"
    restore_run(tmp_path, aside, configs)
    assert contents(tmp_path) == before


def test_folders_named_like_stages_stay_with_a_run_in_one_stage(tmp_path):
    fill(tmp_path)
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "config.yaml").write_text("another run of mine")
    (tmp_path / "labels.json").write_text("mine")
    set_aside_run(tmp_path)
    assert (tmp_path / "A" / "config.yaml").is_file() and (tmp_path / "labels.json").is_file()


def test_an_interrupted_call_on_two_stages_is_completed(tmp_path):
    fill_stages(tmp_path)
    partial = tmp_path / "earlier_1.incomplete"
    partial.mkdir()
    for name in ("A", "labels.json", "stages.json"):
        (tmp_path / name).rename(partial / name)
    aside = complete_set_aside(tmp_path)
    assert (aside / "B" / "model_final.pth").is_file() and not (tmp_path / "B").exists()
    assert yaml.safe_load((aside / "A" / "config.yaml").read_text())["OUTPUT_DIR"] == str(aside / "A")


def test_the_network_for_new_images_stands_for_two_stages(tmp_path):
    fill_stages(tmp_path)
    assert find_run(tmp_path) == tmp_path / "B" and find_run(tmp_path / "A") == tmp_path / "A"
    (tmp_path / "B" / "config.yaml").unlink()
    assert find_run(tmp_path) == tmp_path
