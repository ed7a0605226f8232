"""Settings file of depthbox train: types, paths, precedence of the command line, and mistakes in one line."""

import argparse
import math
import os
from pathlib import Path

import pytest
import yaml

from depthbox.cli import train
from depthbox.cli.main import main, parse
from depthbox.cli.settings import PATHS, SETTINGS, format_overrides, merge_settings, read_settings
from depthbox.config import ConfigError
from depthbox.custom_data.plan import OwnTraining


def write(path, **content):
    path.write_text(yaml.safe_dump(content))
    return path


def test_every_option_of_own_data_can_be_in_the_file_and_has_its_type():
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    options = {action.dest: action for action in parser._actions}
    for name, kind in SETTINGS.items():
        if name != "overrides":
            given = options[name].type or str
            assert given is (Path if name in PATHS else kind), name
    own = {name for name in options if name not in ("help", "settings", "no_check", "dry_run", "overrides")}
    others = {"config_file", "resume", "num_machines", "machine_rank", "dist_url"}
    assert own - others == set(SETTINGS) - {"overrides"}, "options of a single start are not settings"


def test_paths_are_relative_to_the_file_and_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir("/")
    file = write(tmp_path / "my.yaml", data="sub/boxes.json", images="~/photos", depth="/abs/depth", output="../out")
    found = read_settings(file)
    assert found["data"] == tmp_path / "sub/boxes.json" and found["images"] == tmp_path / "home/photos"
    assert found["depth"] == Path("/abs/depth") and os.path.normpath(found["output"]) == str(tmp_path.parent / "out")


def test_a_weight_file_is_relative_to_the_settings_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    for file in (tmp_path / "first.pth", tmp_path / "home" / "second.pth"):
        file.write_bytes(b"weights")
    monkeypatch.chdir("/")
    assert read_settings(write(tmp_path / "a.yaml", weights="first.pth"))["weights"] == str(tmp_path / "first.pth")
    home = str(tmp_path / "home" / "second.pth")
    assert read_settings(write(tmp_path / "a.yaml", weights="~/second.pth"))["weights"] == home
    for words in ("none", "timm", "package:x", "https://a.org/w.pth", "detectron2://x.pkl", "gone.pth"):
        assert read_settings(write(tmp_path / "a.yaml", weights=words))["weights"] == words, "no such file there"


@pytest.mark.parametrize("spelling", ["val-share", "val_share"])
def test_hyphens_and_underscores_name_the_same_option(tmp_path, spelling):
    assert read_settings(write(tmp_path / "a.yaml", **{spelling: 0.25})) == {"val_share": 0.25}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 30),
        ("epochs", 0.5),
        ("val_share", 0),
        ("iterations", 7),
        ("model", "R_50"),
        ("overrides", {"SOLVER": {"BASE_LR": 0.1}}),
    ],
)
def test_values_of_the_right_type_are_taken_as_they_are(tmp_path, name, value):
    assert read_settings(write(tmp_path / "a.yaml", **{name: value})) == {name: value}


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("iterations", 7.5, "int"),
        ("iterations", True, "int"),
        ("epochs", "many", "float"),
        ("epochs", False, "float"),
        ("model", 50, "str"),
        ("data", ["a", "b"], "str"),
        ("data", None, "str"),
        ("overrides", "SOLVER.BASE_LR 1", "dict"),
    ],
)
def test_values_of_another_type_are_named_with_file_and_option(tmp_path, name, value, kind):
    file = write(tmp_path / "a.yaml", **{name: value})
    with pytest.raises(ValueError) as caught:
        read_settings(file)
    assert str(caught.value) == f"{file}: {name} is {value!r}, not of type {kind}"


def test_unknown_options_get_a_hint(tmp_path):
    with pytest.raises(ValueError, match=r"a\.yaml: unknown option 'iteration', did you mean iterations\?"):
        read_settings(write(tmp_path / "a.yaml", iteration=3))
    with pytest.raises(ValueError, match="unknown option 'xyz', see `depthbox train --help`"):
        read_settings(write(tmp_path / "a.yaml", xyz=3))
    (tmp_path / "a.yaml").write_text("7: x\n")
    with pytest.raises(ValueError, match="unknown option '7'"):
        read_settings(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must hold lines such as"),
        (b"# nothing\n", "must hold lines such as"),
        (b"just text", "must hold lines such as"),
        (b"data: [", "is not valid YAML"),
        (b"data: \xff\xfe", "is not valid YAML"),
        (b"data: !!python/object:os.system x", "is not valid YAML"),
    ],
)
def test_files_that_hold_something_else_are_named(tmp_path, content, message):
    file = tmp_path / "a.yaml"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_settings(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "gone.yaml", tmp_path):
        with pytest.raises(ValueError, match=r"the settings file .* does not exist: correct --settings"):
            read_settings(path)


def test_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfmodel: tiny\n")
    assert read_settings(tmp_path / "a.yaml") == {"model": "tiny"}


def test_the_command_line_takes_precedence_and_fills_what_the_file_lacks(tmp_path):
    file = write(tmp_path / "a.yaml", data="a.json", iterations=40, val_share=0.3, overrides={"SEED": 7})
    words = ["--settings", str(file), "--iterations", "90", "--val-share", "0", "--model", "tiny"]
    merged = merge_settings(parse(train, words))
    assert merged == {
        "data": tmp_path / "a.json", "iterations": 90, "val_share": 0, "model": "tiny", "overrides": {"SEED": 7}
    }  # fmt: skip
    assert merge_settings(parse(train, ["--data", "b.json"])) == {"data": Path("b.json")}


def test_nested_and_dotted_overrides_become_the_same_words():
    nested = format_overrides({"SOLVER": {"BASE_LR": 0.5, "STEPS": [1, 2]}, "MODEL": {"FCOS": {"NAME": "x"}}})
    dotted = format_overrides({"SOLVER.BASE_LR": 0.5, "SOLVER.STEPS": [1, 2], "MODEL.FCOS.NAME": "x"})
    assert nested == dotted == ["SOLVER.BASE_LR", "0.5", "SOLVER.STEPS", "[1, 2]", "MODEL.FCOS.NAME", "x"]
    assert format_overrides({}) == [] and format_overrides({"A": None, "B": True}) == ["A", "None", "B", "True"]


@pytest.mark.parametrize("name", ["batch_size", "size", "epochs", "iterations", "num_gpus"])
@pytest.mark.parametrize("value", [0, -1, -math.inf])
def test_numbers_that_must_be_positive_are_named_as_options(name, value):
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} is {value}: it must be a number above 0"):
        OwnTraining.from_options({"data": "a.json", name: value})


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
def test_a_length_that_is_not_finite_is_a_mistake_in_one_line(capsys, tmp_path, value):
    (tmp_path / "a.json").write_text("{}")
    assert main(["train", "--data", str(tmp_path / "a.json"), f"--epochs={value}"]) == 2
    shown = capsys.readouterr().err
    assert f"--epochs is {value}: it must be a number above 0" in shown and shown.count("\n") == 1
