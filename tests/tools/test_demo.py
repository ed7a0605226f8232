"""tools/demo.py: settings of the command line, printed lines, messages."""

from pathlib import Path
from types import ModuleType

import pytest
from script_toy import load_script

from depthbox.config import ConfigError
from depthbox.experiments.demo import (
    QUICK_ITERATIONS,
    QUICK_TRAIN_IMAGES,
    TRAIN_IMAGES,
    VAL_IMAGES,
    DemoSettings,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool() -> ModuleType:
    return load_script(ROOT / "tools" / "demo.py")


def test_the_default_is_the_whole_demo(tool: ModuleType) -> None:
    settings = tool.read_settings(tool.parse_arguments([]))
    assert (settings.train_images, settings.val_images, settings.iterations) == (TRAIN_IMAGES, VAL_IMAGES, 0)
    assert Path(settings.config_file).is_file() and settings.seed == 0


def test_a_quick_demo_is_small_but_options_override_it(tool: ModuleType) -> None:
    quick = tool.read_settings(tool.parse_arguments(["--quick"]))
    assert (quick.train_images, quick.iterations) == (QUICK_TRAIN_IMAGES, QUICK_ITERATIONS)
    words = ["--quick", "--iterations", "7", "--val-images", "3", "--width", "96", "--seed", "2"]
    chosen = tool.read_settings(tool.parse_arguments(words))
    assert (chosen.iterations, chosen.val_images, chosen.width, chosen.seed) == (7, 3, 96, 2)
    assert chosen.train_images == QUICK_TRAIN_IMAGES


def test_the_last_line_has_the_results(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calls: list[tuple[DemoSettings, Path]] = []

    def run_demo(settings: DemoSettings, output: Path) -> dict[str, object]:
        calls.append((settings, output))
        return {"box_AP": 50.0, "mask_AP": 31.25, "boxfill_AP": 12.0, "seconds": 9}

    monkeypatch.setattr(tool, "run_demo", run_demo)
    tool.main(["--output", str(tmp_path / "new")])
    summary, line = capsys.readouterr().out.splitlines()
    assert line == "DEMO box_AP=50.00 mask_AP=31.25 boxfill_AP=12.00 seconds=9"
    assert summary == f"summary: {tmp_path}/new/summary.json, masks: {tmp_path}/new/masks.png"
    assert calls[0][1] == tmp_path / "new"


@pytest.mark.parametrize("error", [ConfigError("a.yaml sets the unknown key X"), FileExistsError("data was not made")])
def test_mistakes_are_passed_on(tool: ModuleType, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(tool, "run_demo", fail)
    with pytest.raises((ValueError, OSError), match=str(error)):
        tool.main([])


def test_a_file_in_the_place_of_the_folder_is_reported(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((ValueError, OSError), match=str(tmp_path / "file")):
        tool.main(["--quick", "--output", str(tmp_path / "file")])
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("words", [["--iterations", "-1"], ["--seed", "-1"]])
def test_options_out_of_range_are_refused(
    tool: ModuleType, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit):
        tool.parse_arguments(words)
    assert "--iterations and --seed must be 0 or more" in capsys.readouterr().err
