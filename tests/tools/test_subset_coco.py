"""tools/subset_coco.py: the kept images and annotations, messages."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("subset_coco", ROOT / "tools" / "subset_coco.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write a COCO JSON file with images 5, 3 and 9, and two annotations per image."""
    content = {
        "info": {"version": "1"},
        "images": [{"id": n, "file_name": f"{n}.png", "height": 4, "width": 6} for n in (5, 3, 9)],
        "annotations": [{"id": 10 * n + k, "image_id": n, "bbox": [0, 0, 2, 2]} for n in (9, 3, 5) for k in (1, 2)],
        "categories": [{"id": 1, "name": "thing"}],
    }
    path = tmp_path / "all.json"
    path.write_text(json.dumps(content))
    return path


def test_the_images_with_the_lowest_ids_are_kept(
    tool: ModuleType, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "two.json"
    assert tool.main([str(source), "--count", "2", "--output", str(target)]) == 0
    content = json.loads(target.read_text())
    assert [image["id"] for image in content["images"]] == [3, 5]
    assert [a["id"] for a in content["annotations"]] == [31, 32, 51, 52]
    assert content["categories"] == [{"id": 1, "name": "thing"}] and content["info"] == {"version": "1"}
    assert capsys.readouterr().out == f"{target}: 2 images, 4 annotations\n"


@pytest.mark.parametrize("count", ["0", "4", "-1"])
def test_an_impossible_count_is_refused(
    tool: ModuleType, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], count: str
) -> None:
    assert tool.main([str(source), "--count", count, "--output", str(tmp_path / "x.json")]) == 2
    assert f"all.json has 3 images, --count asks for {count}" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": []}', '{"images": [{}], "annotations": []}'])
def test_another_file_is_refused(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "other.json").write_text(text)
    assert tool.main([str(tmp_path / "other.json"), "--count", "1", "--output", str(tmp_path / "x.json")]) == 2
    assert "other.json is not a COCO JSON file with images and annotations: " in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def test_missing_files_and_folders_are_reported(
    tool: ModuleType, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main([str(tmp_path / "gone.json"), "--count", "1", "--output", str(tmp_path / "x.json")]) == 2
    assert "gone.json" in capsys.readouterr().err
    assert tool.main([str(source), "--count", "1", "--output", str(source / "x.json")]) == 2
    assert f"{source / 'x.json'} cannot be written" in capsys.readouterr().err
