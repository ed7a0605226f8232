"""tools/check_data.py as it is called, and its page."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthbox.data import write_depth
from depthbox.data.check.check import CheckSettings, check_dataset
from depthbox.reports.dataset import draw_example, make_page

ROOT = Path(__file__).parents[2]
NASTY = "<img src=x onerror=alert(1)>&\"'.png"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("check_data", ROOT / "tools" / "check_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(tmp_path):
    """Two images, one with a name made for mischief, twelve sound objects of each of two classes."""
    images = [{"id": i, "file_name": n, "height": 60, "width": 80} for i, n in enumerate(["a.png", NASTY])]
    annotations = [
        {"id": i + 1, "image_id": i % 2, "category_id": i // 2 % 2 + 1, "bbox": [2 + 5 * (i // 2), 5 + i, 20, 15]}
        for i in range(24)
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "<b>dog</b>"}]
    (tmp_path / "images").mkdir()
    for image in images:
        Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(tmp_path / "images" / image["file_name"])
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    return tmp_path


def spoil(data, **boxes):
    """Give annotations, named as ``n7``, other boxes."""
    content = json.loads((data / "boxes.json").read_text())
    for name, box in boxes.items():
        content["annotations"][int(name[1:])]["bbox"] = box
    (data / "boxes.json").write_text(json.dumps(content))


def words(data, *more):
    return ["--json", str(data / "boxes.json"), "--images", str(data / "images"), *more]


def test_clean_data_and_exit_statuses(tool, data, capsys):
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert tool.main(words(data)) == 0
    out = capsys.readouterr().out
    assert "2 images (2 of 2 read), 24 annotations, 2 classes" in out and "0 errors, 0 warnings" in out
    assert before == {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}, "nothing is changed"
    spoil(data, n3=[5, 5, 0, 4])
    assert tool.main(words(data)) == 0, "warnings alone do not fail"
    spoil(data, n3=[5, 5, -4, 4])
    assert tool.main(words(data)) == 1
    assert "[box_negative]" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--json", "--images", "--depth"])
def test_what_is_missing_ends_with_one_line(tool, data, capsys, option):
    assert tool.main(words(data, option, str(data / "none"))) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "none" in error and f"correct {option}" in error


def test_the_annotations_are_never_overwritten(tool, data, capsys):
    with pytest.raises(SystemExit):
        tool.main(words(data, "--report", str(data / "boxes.json")))
    assert "would overwrite the annotations" in capsys.readouterr().err


def test_a_broken_json_still_gives_page_and_report(tool, data, capsys):
    (data / "boxes.json").write_text('{"images": [')
    assert tool.main(words(data, "--output", str(data / "look"), "--report", str(data / "found.json"))) == 1
    assert "the file ends too early" in capsys.readouterr().out
    assert "the file ends too early" in (data / "look" / "index.html").read_text()
    assert json.loads((data / "found.json").read_text())["findings"][0]["kind"] == "json_unreadable"


def test_the_page_loads_nothing_and_escapes_names(tool, data):
    spoil(data, n0=[70, 5, 40, 15], n1=[70, 5, 40, 15], n2=[5, 5, -4, 4])
    content = json.loads((data / "boxes.json").read_text())
    content["images"].append({"id": 9, "file_name": "</style><script>.png", "height": 6, "width": 8})
    (data / "boxes.json").write_text(json.dumps(content))
    assert tool.main(words(data, "--output", str(data / "look"))) == 1
    page = (data / "look" / "index.html").read_text()
    assert [path.name for path in (data / "look").iterdir()] == ["index.html"]
    words_only = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link|<iframe", words_only)
    sources = re.findall(r'(?:src|href)="([^"]{1,40})', page)
    assert sources and all(source.startswith(("data:image/jpeg;base64,", "#")) for source in sources)
    assert "<img src=x" not in page and "<b>dog" not in page and "&lt;img src=x onerror=alert(1)&gt;&amp;" in page
    assert page.count("data:image/jpeg") == 3 and 'name="viewport"' in page
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{anchor}"' in page


def test_pictures_show_the_case(data):
    spoil(data, n0=[70, 5, 40, 15], n2=[40, 30, 2, 1], n4=[90, 5, 10, 10], n6=[-4e8, 2, 9e8, 10])
    settings = CheckSettings(data / "boxes.json", data / "images", min_size=60, progress=False)
    report = check_dataset(settings)
    worst = {finding.rule.kind: finding.worst for finding in report.findings}
    (small,) = worst["box_tiny"]
    (beyond,) = worst["box_outside"]
    partly = worst["box_partly_outside"][-1]
    for kind, example in (("box_tiny", small), ("box_outside", beyond), ("box_partly_outside", partly)):
        pixels = np.asarray(draw_example(report, example)).astype(int)
        red = (np.abs(pixels - (230, 30, 50)).sum(-1) < 30).sum()
        assert pixels.shape[0] <= 270 and pixels.shape[1] <= 360
        assert red > 20, kind
    enlarged = np.asarray(draw_example(report, small))
    assert enlarged.shape[0] > 200, "a window of 32 pixels, eight times as large"
    grey = (np.asarray(draw_example(report, beyond)) == 128).all(-1).mean()
    assert 0.1 < grey < 0.5, "what lies beyond the image is grey"
    assert draw_example(report, worst["box_partly_outside"][0]).width <= 360


def test_depth_is_shown_beside_its_image_and_wrong_sizes_as_frames(data):
    for name in ("a.png", NASTY):
        write_depth(data / "depth" / name, np.full((60, 80), 0.5))
    Image.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(data / "images" / NASTY)
    report = check_dataset(CheckSettings(data / "boxes.json", data / "images", data / "depth", progress=False))
    worst = {finding.rule.kind: finding.worst for finding in report.findings}
    picture = draw_example(report, worst["depth_constant"][0])
    assert picture.width > 1.9 * picture.height
    framed = np.asarray(draw_example(report, worst["image_size_differs"][0]))
    assert (framed == (255, 210, 0)).all(-1).sum() > 500 and (framed == 128).all(-1).mean() > 0.4
    assert make_page(report).count("<figure><img") == len([e for cases in worst.values() for e in cases])
    (data / "images" / "a.png").write_bytes(b"gone")
    assert draw_example(report, worst["depth_constant"][0]) is None


def test_help_shows_examples(tool, capsys):
    with pytest.raises(SystemExit):
        tool.parse_arguments(["--help"])
    shown = capsys.readouterr().out
    assert "examples:" in shown and "--max-images" in shown and "Exit status" in shown
