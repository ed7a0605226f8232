"""Settings files of ``depthbox train``."""

import pytest
import yaml

from depthbox.cli.main import main


def one_line(capsys):
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err + shown.out and shown.err.strip(), shown
    return shown.err.strip().splitlines()[-1]


def test_the_command_line_takes_precedence_over_the_settings_file(scenes, tmp_path, capsys):
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
        ("dta: x", "unknown option 'dta', did you mean data?"),
        ("iterations: many", "iterations is 'many', not of type int"),
        ("- 1", "must hold lines such as"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_invalid_settings_files_are_refused(tmp_path, capsys, content, message):
    (tmp_path / "my.yaml").write_text(content)
    assert main(["train", "--settings", str(tmp_path / "my.yaml")]) == 2
    assert message in one_line(capsys)
