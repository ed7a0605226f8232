"""tools/subset_coco.py as it is called."""

import json
from pathlib import Path

import pytest
from script_toy import load_script

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    return load_script(ROOT / "tools" / "subset_coco.py")


@pytest.fixture
def data(tmp_path):
    """Write three images with one object each, not in the order of ids; return the JSON file and its content."""
    content = {
        "info": {"year": 2017},
        "images": [{"id": n, "file_name": f"{n}.jpg", "height": 20, "width": 30, "license": 3} for n in (9, 2, 5)],
        "categories": [{"id": 4, "name": "thing"}],
        "annotations": [
            {"id": 10 + n, "image_id": n, "category_id": 4, "bbox": [1, 2, 3, 4], "area": 7, "iscrowd": 0,
             "segmentation": [[1, 2, 4, 2, 4, 6]]}
            for n in (5, 9, 2)
        ],
    }  # fmt: skip
    (tmp_path / "all.json").write_text(json.dumps(content))
    return tmp_path / "all.json", content


def test_the_lowest_ids_are_kept_with_all_keys(tool, data, tmp_path, capsys):
    file, content = data
    output = tmp_path / "new" / "few.json"
    assert tool.main([str(file), "--count", "2", "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}: 2 images, 2 annotations\n"
    few = json.loads(output.read_text())
    images = sorted(content["images"], key=lambda image: image["id"])[:2]
    annotations = [entry for entry in content["annotations"] if entry["image_id"] in (2, 5)]
    assert few == {**content, "images": images, "annotations": annotations}


@pytest.mark.parametrize(
    ("words", "problem"),
    [(["--count", "4"], "has 3 images: --count 4"), (["--count", "0"], "has 3 images: --count 0")],
)
def test_mistakes_leave_no_file(tool, data, tmp_path, words, problem):
    with pytest.raises(ValueError, match=problem):
        tool.main([str(data[0]), *words, "--output", str(tmp_path / "few.json")])
    assert not (tmp_path / "few.json").exists()


def test_files_of_another_kind_are_named(tool, tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match=r"x\.json is not a COCO JSON file: missing list\(s\): images"):
        tool.main([str(tmp_path / "x.json"), "--count", "1", "--output", str(tmp_path / "few.json")])
