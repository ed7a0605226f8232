"""Text and JSON of a check: one fact per line, the files and the remedy of each finding, and a terminal's width."""

import json
from pathlib import Path

import numpy as np
import pytest
from check_toy import HEIGHT, WIDTH, change, coco
from PIL import Image

from depthbox.data import write_depth
from depthbox.data.check.check import CheckSettings, check_dataset
from depthbox.data.check.depth import inspect_depth
from depthbox.data.check.findings import Example, Findings, fill_remedies, to_line
from depthbox.data.check.records import ImageRecord
from depthbox.data.check.report import WIDTH as COLUMNS
from depthbox.data.check.report import printable, report_json, shorten_path, summary, verdict
from depthbox.data.check.rules import RULES, Rule

IMAGE = ImageRecord(1, "sub/a.png", (HEIGHT, WIDTH))


def check(data, content=None, **options):
    if content is not None:
        (data / "boxes.json").write_text(json.dumps(content))
    options = {"workers": 1, "progress": False, **options}
    return check_dataset(CheckSettings(data / "boxes.json", data / "images", **options))


def save_gray8(path):
    Image.new("L", (WIDTH, HEIGHT), 9).save(path)


def save_palette(path):
    Image.new("P", (WIDTH, HEIGHT), 3).save(path)


def save_other_size(path):
    write_depth(path, np.eye(HEIGHT))


def save_metric(path):
    with path.open("wb") as file:
        np.save(file, np.full((HEIGHT, WIDTH), 7.5, np.float32))


def save_integers(path):
    np.save(path, np.ones((HEIGHT, WIDTH), np.int64))


def save_nan(path):
    np.save(path, np.full((HEIGHT, WIDTH), np.nan, np.float32))


def save_cube(path):
    np.save(path, np.zeros((HEIGHT, WIDTH, 3), np.float32))


def save_text(path):
    path.write_bytes(b"no depth")


def save_nothing(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("folder", ["depth", "8-bit", "NaN", "aspect ratios"])
@pytest.mark.parametrize(
    ("name", "save", "kind"),
    [
        ("a.png", save_gray8, "depth_8bit"),
        ("a.png", save_palette, "depth_8bit"),
        ("a.png", save_other_size, "depth_size_differs"),
        ("a.png", save_text, "depth_unreadable"),
        ("a.png", save_nothing, "depth_unreadable"),
        ("a.npy", save_metric, "depth_range"),
        ("a.npy", save_integers, "depth_unreadable"),
        ("a.npy", save_nan, "depth_not_finite"),
        ("a.npy", save_cube, "depth_unreadable"),
        ("a.npy", save_text, "depth_unreadable"),
        ("a.npy", save_nothing, "depth_unreadable"),
    ],
)
def test_the_kind_of_a_bad_depth_map_does_not_depend_on_its_folder(tmp_path, folder, name, save, kind):
    path = tmp_path / folder / "sub" / name
    path.parent.mkdir(parents=True)
    save(path)
    ((found, example),), facts = inspect_depth(IMAGE, path, IMAGE.size)
    assert (found, facts) == (kind, None)
    assert example.file == "sub/a.png" and example.depth, "the image is named, the map is meant"
    assert example.detail.startswith("a.npy: ") == (name == "a.npy"), "a map of another name than its image is named"
    assert "Generate" not in example.detail, "the remedy is said once, by the rule"


def test_a_missing_depth_map_and_a_constant_one_are_told_apart(tmp_path):
    ((kind, example),), _ = inspect_depth(IMAGE, tmp_path / "a.png", IMAGE.size)
    assert (kind, example.detail) == ("depth_unreadable", "the depth file does not exist")
    write_depth(tmp_path / "a.png", np.full((HEIGHT, WIDTH), 0.25))
    ((kind, example),), _ = inspect_depth(IMAGE, tmp_path / "a.png", IMAGE.size)
    assert (kind, example.detail) == ("depth_constant", "the depth is 0.250 everywhere")


def test_values_of_a_sound_depth_map_are_stated(tmp_path):
    write_depth(tmp_path / "a.png", np.linspace(0, 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH))
    found, facts = inspect_depth(IMAGE, tmp_path / "a.png", IMAGE.size)
    assert not found and facts.example.detail == "values 0 to 65535 of 65535"


def finding_lines(report, kind):
    """Return the lines of one finding in the summary: from its title to the next title."""
    lines = summary(report).splitlines()
    start = next(number for number, line in enumerate(lines) if f"[{kind}]" in line)
    while not lines[start].startswith(("ERROR", "WARNING", "INFO")):
        start -= 1
    end = next((n for n in range(start + 1, len(lines)) if not lines[n].startswith("        ")), len(lines))
    return lines[start:end]


def test_a_finding_has_title_examples_and_remedy(data):
    content = coco()
    change("annotations", 3, bbox=[9, 9, 8, 0.2], segmentation=...)(content, data)
    lines = finding_lines(check(data, content), "box_tiny")
    text = " ".join(" ".join(lines).split())
    assert text.startswith(f"WARNING {RULES['box_tiny'].title}: 1 [box_tiny] - sub/img0.png, annotation 4: bbox")
    assert text.endswith(f"> {RULES['box_tiny'].remedy}")


def test_only_some_examples_are_printed_and_the_rest_is_counted(data):
    content = coco()
    for place in range(12):
        change("annotations", place, bbox=[9, 9, 8, 0.2 + place / 1000], segmentation=...)(content, data)
    report = check(data, content)
    lines = finding_lines(report, "box_tiny")
    shown = [line for line in lines if line.startswith("        - ")]
    assert shown[-1] == f"        - and {12 - (len(shown) - 1)} more"
    assert len(report_json(report)["findings"][0]["first"]) == 10, "the JSON file has more of them"


def test_lines_fit_a_terminal_and_commands_that_fit_stay_whole(data, monkeypatch):
    content = coco()
    content["categories"][0]["name"] = "a very long name of a class " * 20
    (data / "depth" / "img1.png").unlink()
    (data / "boxes.json").write_text(json.dumps(content))
    monkeypatch.chdir(data)
    report = check_dataset(CheckSettings(Path("boxes.json"), Path("images"), Path("depth"), progress=False))
    lines = summary(report).splitlines()
    assert all(len(line) <= COLUMNS for line in lines)
    command = "`depthbox depth --images images --output depth`"
    assert any(command in line for line in lines), "it can be copied as one line"


def test_the_verdict_counts_kinds_and_says_what_to_do(data):
    assert verdict(check(data)) == "0 errors, 0 warnings, 0 info: training can start."
    content = coco()
    change("annotations", 3, bbox=[9, 9, 8, 0.2], segmentation=...)(content, data)
    report = check(data, content)
    assert verdict(report).endswith("training can start; read the warnings first.") and report.warnings == 1
    report = check(data, {"images": []})
    assert verdict(report) == "1 error, 0 warnings, 0 info: correct the errors before training."
    assert report_json(report)["format"] is None and report_json(report)["ok"] is False


def test_the_json_of_a_check_can_be_compared_with_its_text(data):
    content = coco()
    change("annotations", 0, iscrowd=1)(content, data)
    report = check(data, content, depth=data / "depth", min_size=320, max_size=640)
    read = json.loads(json.dumps(report_json(report)))
    assert read["input_size"] == {"min_size": 320, "max_size": 640} and read["split"] == "train"
    assert read["images"] == str(data / "images") and read["depth"] == str(data / "depth")
    assert read["objects"] == {"cat": 11, "dog": 12} and sum(read["objects"].values()) == read["counts"]["objects"]
    kinds = [finding["kind"] for finding in read["findings"]]
    assert kinds == ["crowd"] and read["findings"][0]["first"][0]["annotation_id"] == 1
    assert read["findings"][0]["first"][0]["box"] == [4, 6, 20, 12]


def test_the_worst_cases_are_those_of_the_highest_badness_in_order():
    findings = Findings()
    for number in range(30):
        findings.add("box_thin", Example(str(number)), badness=number * 7 % 30)
    (finding,) = findings.list()
    assert [int(example.detail) * 7 % 30 for example in finding.worst] == [29, 28, 27, 26, 25, 24]
    assert [example.detail for example in finding.first] == [str(number) for number in range(10)]


def test_findings_are_ordered_by_severity_then_as_documented():
    findings = Findings()
    order = ["image_unlisted", "depth_missing", "box_tiny", "class_absent", "nothing_to_learn", "box_thin"]
    for kind in order:
        findings.add(kind, Example(""))
    kinds = [finding.rule.kind for finding in findings.list()]
    assert kinds == ["nothing_to_learn", "depth_missing", "class_absent", "box_tiny", "box_thin", "image_unlisted"]
    findings.drop("box_tiny")
    findings.change("box_thin", lambda rule: Rule(rule.kind, "error", rule.title))
    assert [f.rule.kind for f in findings.list()][:3] == ["nothing_to_learn", "box_thin", "depth_missing"]
    assert findings.count("box_tiny") == 0 and findings.count("box_thin") == 1


def test_folders_are_written_into_remedies_of_the_check_alone():
    findings = Findings()
    findings.add("depth_missing", Example("x"))
    findings.add_all(Rule("own", "info", "IMAGES here", "look at IMAGES"), 3, [Example("a"), Example("b")])
    missing, own = fill_remedies(findings.list(), "'my images'", "d")
    assert "--images 'my images' --output d`" in missing.rule.remedy
    assert own.rule.remedy == "look at IMAGES" and own.count == 3


def test_texts_that_a_terminal_cannot_show_are_escaped():
    assert printable("ä\x1b[31m\n\ud800") == "ä\\x1b[31m\\n\\ud800"
    long = Path("/data") / ("x" * 200) / "boxes.json"
    assert len(shorten_path(long)) == COLUMNS and shorten_path(long).endswith("boxes.json")
    assert shorten_path("short") == "short"
    assert to_line("a\n  b\tc") == "a b c" and len(to_line("x" * 1000)) == 300
