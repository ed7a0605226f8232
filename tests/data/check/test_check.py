"""The data set check as a whole: each planted fault is found and named, a clean set passes."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from check_toy import FAULTS, WIDTH, coco, write_clean
from PIL import Image

from depthbox.data.check.check import CheckError, CheckSettings, check_dataset
from depthbox.data.check.report import report_json, summary, write_report
from depthbox.data.check.rules import RULES


@pytest.fixture
def data(tmp_path):
    write_clean(tmp_path)
    return tmp_path


def check(data, content=None, **options):
    if content is not None:
        (data / "boxes.json").write_text(json.dumps(content))
    options = {"depth": data / "depth", "workers": 2, "progress": False, **options}
    return check_dataset(CheckSettings(data / "boxes.json", data / "images", **options))


def kinds(report):
    return {finding.rule.kind: finding.count for finding in report.findings}


def test_a_clean_data_set_passes(data):
    report = check(data)
    assert kinds(report) == {}
    assert report.counts == {
        "images": 6, "annotations": 24, "boxes": 24, "classes": 2, "images read": 6, "depth maps": 6
    }  # fmt: skip
    assert report.objects == {"cat": 12, "dog": 12}
    assert "nothing stands against training" in summary(report)


def test_a_clean_data_set_of_boxes_alone_passes(data):
    content = coco()
    for annotation in content["annotations"]:
        del annotation["segmentation"], annotation["iscrowd"]
    assert kinds(check(data, content, depth=None)) == {}


@pytest.mark.parametrize(("kind", "plant"), FAULTS, ids=[f"{i}-{kind}" for i, (kind, _) in enumerate(FAULTS)])
def test_a_planted_fault_is_found_and_named(data, kind, plant):
    content = coco()
    plant(content, data)
    report = check(data, content)
    assert kind in kinds(report)
    assert (report.errors > 0) >= (RULES[kind].severity == "error")
    text = summary(report)
    assert f"[{kind}]" in text and max(map(len, text.splitlines())) < 80
    json.loads(json.dumps(report_json(report), allow_nan=False))
    # A planted fault of one annotation or file names it, and brings at most its plain consequences with it.
    assert len(kinds(report)) <= (5 if kind.startswith("no_") else 4)


def test_every_kind_is_planted_here_or_among_the_malformed_files():
    assert {kind for kind, _ in FAULTS} | {"json_unreadable", "json_not_coco"} == set(RULES)


def test_examples_name_the_place_and_the_worst_come_first(data):
    content = coco()
    for row, far in ((0, 3), (5, 40), (9, 11)):
        content["annotations"][row]["bbox"] = [WIDTH - 10, 5, 10 + far, 9]
    (finding,) = check(data, content).findings
    assert [example.annotation_id for example in finding.first] == [1, 6, 10]
    assert [example.annotation_id for example in finding.worst] == [6, 10, 1]
    assert finding.worst[0].where == "img1.png, annotation 6" and "40 px out of an image of 64 x 48" in str(
        finding.worst[0]
    )
    assert finding.worst[0].box == (54, 5, 50, 9)


def test_hints_for_files_and_types(data):
    content = coco()
    content["annotations"][0]["image_id"] = "1"
    (data / "images" / "img1.png").rename(data / "images" / "IMG1.PNG")
    text = summary(check(data, content))
    assert "image_id '1', but there is 1, a number" in text
    assert "img1.png: the folder has IMG1.PNG" in text


def test_the_number_of_threads_changes_nothing(data):
    for i in range(6):
        name = coco()["images"][i]["file_name"]
        (data / "images" / name).write_bytes(b"broken" * i)
    one, eight = (report_json(check(data, workers=n)) for n in (1, 8))
    assert one == eight and one["findings"][0]["count"] == 6


def test_max_images_reads_a_part_and_finds_all_missing_files(data):
    (data / "images" / "img5.png").unlink()
    (data / "images" / "img3.png").write_bytes(b"broken")
    report = check(data, max_images=2)
    assert report.counts["images read"] == 2 and kinds(report) == {"image_missing": 1}
    assert kinds(check(data, max_images=5)) == {"image_missing": 1, "image_unreadable": 1}


def test_depth_waits_until_its_image_is_right(data):
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(data / "images" / "img1.png")
    assert kinds(check(data)) == {"image_size_differs": 1}


def test_the_documentation_lists_every_kind():
    text = (Path(__file__).parents[3] / "docs" / "check.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE))
    assert listed == {kind: rule.severity for kind, rule in RULES.items()}


def test_only_a_few_examples_are_kept(data):
    content = coco()
    template = content["annotations"][0]
    content["annotations"] += [{**template, "id": 100 + i, "bbox": [20, 20, 0, 8]} for i in range(500)]
    (finding,) = (f for f in check(data, content).findings if f.rule.kind == "box_zero")
    assert (finding.count, len(finding.first), len(finding.worst)) == (500, 10, 6)


def test_what_is_not_there_is_the_callers_mistake(data):
    for settings, message in (
        (CheckSettings(data / "no.json", data), "no json file"),
        (CheckSettings(data / "boxes.json", data / "no"), "correct --images"),
        (CheckSettings(data / "boxes.json", data, depth=data / "no"), "correct --depth"),
        (CheckSettings(data / "boxes.json", data, workers=0), "at least 1"),
    ):
        with pytest.raises(CheckError, match=message):
            check_dataset(settings)


def test_the_written_report_is_json_whatever_the_boxes_hold(data):
    content = coco()
    content["annotations"][0]["bbox"] = [math.inf, 0, 1, 1]
    content["annotations"][1]["bbox"] = [1e308, 1e308, 1e308, 1e308]
    content["images"][0]["file_name"] = "\ud800\x1b[31m.png"
    report = check(data, content)
    write_report(report, data / "out" / "report.json")
    read = json.loads((data / "out" / "report.json").read_text())
    assert not read["ok"] and {"box_not_finite", "image_missing"} <= {f["kind"] for f in read["findings"]}
    assert "\x1b" not in summary(report) and summary(report).encode()
