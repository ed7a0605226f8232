"""tools/make_points.py as it is called."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from script_toy import load_script

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_script(ROOT / "tools" / "make_points.py")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write two images with three objects each and a crowd; their polygons are rectangles."""
    annotations: list[dict[str, Any]] = []
    for image in (4, 9):
        for x in (2, 10, 20):
            outline = [[x, 3, x + 6, 3, x + 6, 12, x, 12]]
            entry = {"id": len(annotations) + 1, "image_id": image, "category_id": 7, "bbox": [x, 3, 6, 9], "area": 54}
            annotations.append({**entry, "iscrowd": 0, "segmentation": outline})
    annotations.append({**annotations[0], "id": 90, "iscrowd": 1, "segmentation": {"size": [20, 30], "counts": [600]}})
    images = [{"id": i, "file_name": f"{i}.png", "height": 20, "width": 30} for i in (4, 9)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "cell"}]}
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    return tmp_path / "boxes.json"


def test_a_file_of_points_is_written_with_the_ids_of_the_source(
    tool: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "points.json"
    assert tool.main([str(data), "--output", str(output), "--kind", "center"]) == 0
    assert capsys.readouterr().out == f"{output}: 2 images, 6 points, 1 crowds left out\n"
    written = json.loads(output.read_text())
    source = json.loads(data.read_text())
    assert written["images"] == source["images"] and written["categories"] == source["categories"]
    ids = [(entry["id"], entry["image_id"], entry["category_id"]) for entry in source["annotations"][:6]]
    assert [(entry["id"], entry["image_id"], entry["category_id"]) for entry in written["annotations"]] == ids
    assert [entry["point_coords"] for entry in written["annotations"][:3]] == [
        [[4.5, 5.5]],
        [[12.5, 5.5]],
        [[22.5, 5.5]],
    ]


def test_options_reach_the_file(
    tool: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "points.json"
    tool.main([str(data), "--output", str(output), "--off-object", "1", "--keep", "masks", "--seed", "3"])
    assert "6 objects with a mask, 6 objects with a box, 6 points, 6 points off their object" in capsys.readouterr().out
    for entry in json.loads(output.read_text())["annotations"]:
        (x, y), (left, top, width, height) = entry["point_coords"][0], entry["bbox"]
        assert not (left <= x < left + width and top <= y < top + height)
    tool.main([str(data), "--output", str(output), "--shares", "0", "1", "0"])
    assert "6 objects with a box, 0 points" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--off-object", "2"], "in 0 to 1, got 2"),
        (["--seed", "-1"], "the seed must be >= 0"),
        (["--shares", "0", "0", "0"], "not all 0"),
        (["--shares", "1", "1", "1", "--keep", "boxes"], "exclude each other"),
    ],
)
def test_mistakes_leave_no_file(tool: ModuleType, data: Path, tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tool.main([str(data), "--output", str(tmp_path / "points.json"), *words])
    assert not (tmp_path / "points.json").exists()


def test_files_without_masks_and_the_source_as_output_are_refused(tool: ModuleType, data: Path, tmp_path: Path) -> None:
    before = data.read_bytes()
    with pytest.raises(ValueError, match=r"boxes\.json would overwrite the annotations"):
        tool.main([str(data), "--output", str(data)])
    content = json.loads(before)
    for entry in content["annotations"]:
        del entry["segmentation"]
    (tmp_path / "plain.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"plain\.json: no object has a mask"):
        tool.main([str(tmp_path / "plain.json"), "--output", str(tmp_path / "points.json")])
    assert data.read_bytes() == before and not (tmp_path / "points.json").exists()
