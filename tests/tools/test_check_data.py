"""tools/check_data.py as it is called, and its page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from script_toy import load_script

from depthbox.data import write_depth
from depthbox.data.check.check import CheckSettings, check_dataset
from depthbox.reports.dataset import draw_example, make_page

ROOT = Path(__file__).parents[2]
NASTY = "<img src=x onerror=alert(1)>&\"'.png"


@pytest.fixture(scope="module")
def tool():
    return load_script(ROOT / "tools" / "check_data.py")


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
        seed = np.random.default_rng(image["id"])
        Image.fromarray(seed.integers(80, 100, (60, 80, 3), np.uint8)).save(tmp_path / "images" / image["file_name"])
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
    assert "2 images (2 read), 24 objects, 2 classes" in out and "0 errors, 0 warnings, 0 info" in out
    assert before == {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}, "nothing is changed"
    spoil(data, n3=[5, 5, 0, 4])
    assert tool.main(words(data)) == 0, "warnings alone do not fail"
    spoil(data, **{f"n{i}": [0.1, 0.2, 0.3, 0.4] for i in range(24)})
    assert tool.main(words(data)) == 1
    assert "[box_normalized]" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--data", "--images", "--depth"])
def test_what_is_missing_ends_with_one_line(tool, data, capsys, option):
    assert tool.main(words(data, option, str(data / "none"))) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "none" in error and f"correct {option}" in error


def test_the_annotations_are_never_overwritten(tool, data, capsys):
    for option in ("--report", "--fix"):
        with pytest.raises(SystemExit):
            tool.main(words(data, option, str(data / "images" / ".." / "boxes.json")))
        assert f"{option} " in (error := capsys.readouterr().err) and "would overwrite the annotations" in error
    with pytest.raises(SystemExit):
        tool.main(words(data, "--report", str(data / "x.json"), "--fix", str(data / "x.json")))
    assert "both name" in capsys.readouterr().err


def test_a_repaired_copy_passes_the_check(tool, data, capsys):
    spoil(data, n3=[5, 5, 0, 4], n4=["2", "9", "20", "15"])
    assert tool.main(words(data, "--fix", str(data / "fixed.json"))) == 0
    out = capsys.readouterr().out
    assert f"{data / 'fixed.json'}: 2 images, 23 annotations" in out
    assert "repaired: 1 boxes whose numbers are written as text" in out
    assert "left out: 1 boxes whose width or height is not positive" in out
    assert tool.main(["--data", str(data / "fixed.json"), "--images", str(data / "images")]) == 0
    assert "0 errors, 0 warnings, 0 info" in capsys.readouterr().out


def write_yolo(data):
    """Return the YAML file of a dataset with two splits; the validation image is also a training image."""
    for split, names in (("train", ("a.png", "b.png")), ("val", ("c.png",))):
        for kind in ("images", "labels"):
            (data / "yolo" / kind / split).mkdir(parents=True)
        for name in names:
            source = data / "images" / ("a.png" if name != "b.png" else NASTY)
            (data / "yolo" / "images" / split / name).write_bytes(source.read_bytes())
            (data / "yolo" / "labels" / split / name).with_suffix(".txt").write_text("0 0.5 0.5 0.2 0.3\n" * 1)
    path = data / "yolo" / "data.yaml"
    path.write_text("train: images/train\nval: images/val\nnames: [a]\n")
    return path


def test_splits_are_checked_one_after_the_other(tool, data, capsys):
    path = write_yolo(data)
    report, look = data / "found.json", data / "look"
    assert tool.main(["--data", str(path), "--report", str(report), "--output", str(look)]) == 0
    out = capsys.readouterr().out
    assert out.index("=== train ===") < out.index("(YOLO)") < out.index("=== val ===") < out.index("[split_overlap]")
    read = json.loads(report.read_text())
    assert list(read["splits"]) == ["train", "val"] and read["splits"]["train"]["format"] == "yolo"
    assert (look / "train" / "index.html").is_file() and "c.png" in (look / "val" / "index.html").read_text()
    assert tool.main(["--data", str(path), "--split", "val", "--report", str(report)]) == 0
    assert "=== train" not in capsys.readouterr().out and json.loads(report.read_text())["counts"]["images"] == 1


def test_a_repaired_copy_needs_one_split(tool, data, capsys):
    path = write_yolo(data)
    assert tool.main(["--data", str(path), "--fix", str(data / "f.json")]) == 2
    assert "choose one of train, val with --split" in capsys.readouterr().err
    assert tool.main(["--data", str(path), "--split", "train", "--fix", str(data / "f.json")]) == 0
    content = json.loads((data / "f.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.png", "b.png"]
    assert content["annotations"][0]["bbox"] == pytest.approx([32, 21, 16, 18])
    capsys.readouterr()
    assert tool.main(["--data", str(path), "--split", "test"]) == 2
    assert "has no split test (found: train, val): correct --split" in capsys.readouterr().err


def test_a_broken_json_still_gives_page_and_report(tool, data, capsys):
    (data / "boxes.json").write_text('{"images": [')
    assert tool.main(words(data, "--output", str(data / "look"), "--report", str(data / "found.json"))) == 1
    assert "the file ends too early" in " ".join(capsys.readouterr().out.split())
    assert "the file ends too early" in (data / "look" / "index.html").read_text()
    assert json.loads((data / "found.json").read_text())["findings"][0]["kind"] == "annotations_unreadable"


def test_the_page_loads_nothing_and_escapes_names(tool, data):
    spoil(data, n0=[70, 5, 40, 15], n1=[70, 5, 40, 15], n2=[5, 5, -4, 4])
    content = json.loads((data / "boxes.json").read_text())
    content["images"].append({"id": 9, "file_name": "</style><script>.png", "height": 6, "width": 8})
    (data / "boxes.json").write_text(json.dumps(content))
    assert tool.main(words(data, "--output", str(data / "look"))) == 0
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
    partly, far = worst["box_beyond_border"]
    for kind, example in (("box_tiny", small), ("box_outside", beyond), ("box_beyond_border", partly)):
        pixels = np.asarray(draw_example(report, example)).astype(int)
        red = (np.abs(pixels - (230, 30, 50)).sum(-1) < 30).sum()
        assert pixels.shape[0] <= 270 and pixels.shape[1] <= 360
        assert red > 20, kind
    enlarged = np.asarray(draw_example(report, small))
    assert enlarged.shape[0] > 200, "a window of 32 pixels, eight times as large"
    gray = (np.asarray(draw_example(report, beyond)) == 128).all(-1).mean()
    assert 0.1 < gray < 0.5, "the area beyond the image is gray"
    assert draw_example(report, far).width <= 360


def test_depth_is_shown_beside_its_image_and_wrong_sizes_as_frames(data):
    for name in ("a.png", NASTY):
        write_depth(data / "depth" / name, np.full((60, 80), 0.5))
    Image.fromarray(np.arange(3600, dtype=np.uint16).reshape(30, 40, 3).astype(np.uint8)).save(data / "images" / NASTY)
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
    assert "examples:" in shown and "--max-images" in shown and "Exit status" in shown and "--fix" in shown
