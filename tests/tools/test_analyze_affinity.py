"""tools/analyze_affinity.py: files, printed tables, messages."""

import json
from pathlib import Path

import pytest
from PIL import Image
from script_toy import load_script

from depthbox.data.synthetic.write import write_dataset

SCRIPT = Path(__file__).parents[2] / "tools" / "analyze_affinity.py"


@pytest.fixture(scope="module")
def tool():
    return load_script(SCRIPT)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_dataset(folder, 3, height=48, width=64, split="val")
    return folder


def words(scenes, output, *more):
    files = ("--json", f"{scenes}/instances_val.json", "--images", f"{scenes}/val", "--output", str(output))
    return [*files, *more]


def test_results_are_written_and_printed(tool, scenes, tmp_path, capsys):
    tool.main(words(scenes, tmp_path / "out", "--depth", f"{scenes}/depth_val", "--max-images", "2"))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines()[:-3])) <= 80 and "S_d > 0.5, κ = 30" in shown and "2 images" in shown
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "affinity.json",
        "affinity.md",
        "affinity.png",
    ]
    content = json.loads((tmp_path / "out" / "affinity.json").read_text())
    assert content["data"]["images"] == 2 and len(content["rows"]) == 1 + 3 + 4 * 21
    literal = next(row for row in content["rows"] if row["name"] == "S_d > 0.3, κ = 1")
    assert literal["values"]["kept"] == 1.0  # no |Δd| reaches 1.2
    assert Image.open(tmp_path / "out" / "affinity.png").size[0] > 1000


def test_thresholds_can_be_chosen_and_depth_omitted(tool, scenes, tmp_path, capsys):
    tool.main(words(scenes, tmp_path, "--color-thresholds", "0.2", "--min-size", "96"))
    shown = capsys.readouterr().out
    assert "color >= 0.2" in shown and "S_d" not in shown and "short side 96" in shown


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--depth", "nowhere"], "depth files .* are missing"),
        (["--color-thresholds", "1.5"], "between 0 and 1"),
        (["--depth-scales", "-1"], "above 0"),
    ],
)
def test_mistakes_name_their_cause(tool, scenes, tmp_path, more, message):
    with pytest.raises((ValueError, OSError), match=message):
        tool.main(words(scenes, tmp_path / "out", *more))
    assert not (tmp_path / "out").exists()


def test_a_dataset_without_masks_is_refused(tool, scenes, tmp_path):
    data = json.loads((scenes / "instances_val.json").read_text())
    for annotation in data["annotations"]:
        del annotation["segmentation"]
    (tmp_path / "boxes.json").write_text(json.dumps(data))
    with pytest.raises((ValueError, OSError), match="no object has a mask"):
        tool.main(["--json", f"{tmp_path}/boxes.json", "--images", f"{scenes}/val", "--output", f"{tmp_path}/out"])


def test_help_explains_the_columns(tool, capsys):
    with pytest.raises(SystemExit):
        tool.parse_arguments(["--help"])
    shown = capsys.readouterr().out
    assert "leak: share" in shown and "example:" in shown
