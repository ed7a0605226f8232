"""tools/make_synthetic.py: splits, repetition, messages."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from script_toy import load_script

ROOT = Path(__file__).parents[2]
SMALL = ("--height", "48", "--width", "64", "--workers", "0")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_script(ROOT / "tools" / "make_synthetic.py")


def test_splits_have_their_own_counts(tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tool.main(["--output", str(tmp_path), "--count", "3", "1", *SMALL])
    files = [tmp_path / "instances_train.json", tmp_path / "instances_val.json"]
    assert capsys.readouterr().out.splitlines() == [str(file) for file in files]
    train, val = (json.loads(file.read_text()) for file in files)
    assert len(train["images"]) == 3 and len(val["images"]) == 1 and train["annotations"]
    assert Image.open(tmp_path / "train" / train["images"][0]["file_name"]).size == (64, 48)
    assert len(list((tmp_path / "depth_train").iterdir())) == 3


def test_one_count_is_used_for_all_splits(tool: ModuleType, tmp_path: Path) -> None:
    tool.main(["--output", str(tmp_path), "--split", "a", "b", "--count", "2", *SMALL])
    assert [len(json.loads((tmp_path / f"instances_{s}.json").read_text())["images"]) for s in "ab"] == [2, 2]


def test_a_repeated_call_extends_the_dataset(tool: ModuleType, tmp_path: Path) -> None:
    words = ["--output", str(tmp_path), "--split", "val", *SMALL]
    tool.main([*words, "--count", "1"])
    image = next((tmp_path / "val").iterdir())
    age = image.stat().st_mtime_ns
    tool.main([*words, "--count", "2"])
    assert image.stat().st_mtime_ns == age and len(list((tmp_path / "val").iterdir())) == 2


def test_points_are_added_on_request(tool: ModuleType, tmp_path: Path) -> None:
    words = ["--split", "val", "--count", "1", *SMALL]
    tool.main(["--output", str(tmp_path / "plain"), *words])
    tool.main(["--output", str(tmp_path / "points"), "--points", "center", *words])
    plain, points = (json.loads((tmp_path / n / "instances_val.json").read_text()) for n in ("plain", "points"))
    assert not any("point_coords" in entry for entry in plain["annotations"])
    assert all(len(entry["point_coords"]) == 1 for entry in points["annotations"]) and points["annotations"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--count", "1", "2", "3"], r"--count: expected one number, or one for each of train val; got \[1, 2, 3\]"),
        (["--count", "0"], "count must be >= 1"),
        (["--seed", "-1"], "seed and workers >= 0"),
    ],
)
def test_mistakes_end_with_one_line(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises((SystemExit, ValueError)) as end:
        tool.main(["--output", str(tmp_path / "new"), *words])
    usage = capsys.readouterr().err.strip().splitlines()
    last = str(end.value) if isinstance(end.value, ValueError) else usage[-1]
    assert re.search(message, last), last
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_place_of_the_folder_is_reported(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=str(tmp_path / "file")):
        tool.main(["--output", str(tmp_path / "file"), "--count", "1", *SMALL])
