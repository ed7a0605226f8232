"""The dataset check as a whole: each planted fault is found and named, a clean dataset passes."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from check_faults import FAULTS, NOTED
from check_toy import WIDTH, change, coco, rectangle
from PIL import Image

from depthbox.data.check.check import CheckError, CheckSettings, check_dataset
from depthbox.data.check.report import report_json, summary, write_report
from depthbox.data.check.rules import RULES, rule_of_note
from depthbox.io.annotations import canonical, detect
from depthbox.io.annotations.notes import RULES as NOTE_RULES
from depthbox.io.annotations.readers.rules import READER_RULES


def check(data, content=None, annotations=None, **options):
    """Check the dataset in a folder with its depth, after replacing the content of its JSON file if it is given."""
    if content is not None:
        (data / "boxes.json").write_text(json.dumps(content))
    options = {"depth": data / "depth", "workers": 2, "progress": False, **options}
    return check_dataset(CheckSettings(data / "boxes.json", data / "images", **options), annotations)


def kinds(report):
    return {finding.rule.kind: finding.count for finding in report.findings}


def test_a_clean_dataset_passes(data):
    report = check(data)
    assert kinds(report) == {}
    assert report.counts == {
        "images": 6, "annotations": 24, "objects": 24, "classes": 2, "images read": 6, "depth maps": 6
    }  # fmt: skip
    assert report.objects == {"cat": 12, "dog": 12}
    assert "0 errors, 0 warnings, 0 info: training can start." in summary(report)


def test_a_clean_dataset_of_boxes_alone_passes(data):
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
    assert (report.errors > 0) == (RULES[kind].severity == "error")
    require_readable(report, kind)


@pytest.mark.parametrize(
    ("kind", "severity", "plant"), NOTED, ids=[f"{i}-{kind}-{severity}" for i, (kind, severity, _) in enumerate(NOTED)]
)
def test_notes_of_the_reader_are_findings_with_a_severity(data, kind, severity, plant):
    content = coco()
    plant(content, data)
    report = check(data, content, depth=None)
    (finding,) = (finding for finding in report.findings if finding.rule.kind == kind)
    assert finding.rule.severity == severity
    assert (report.errors > 0) == (severity == "error")
    assert kind == "all_crowds" or str(finding.first[0])
    require_readable(report, kind)


def require_readable(report, kind):
    text = summary(report)
    assert f"[{kind}]" in text
    assert max(map(len, text.splitlines())) < 80
    json.loads(json.dumps(report_json(report), allow_nan=False))
    # A planted fault has at most its plain consequences beside it.
    assert len(report.findings) <= 4


def test_every_kind_is_planted():
    assert {kind for kind, _ in FAULTS} | {"split_overlap"} == set(RULES)


def test_kinds_of_checks_and_of_readers_are_distinct():
    assert not set(RULES) & {rule.name for rule in (*NOTE_RULES.values(), *READER_RULES)}


def test_every_remedy_names_commands_that_exist():
    from depthbox.cli.main import COMMANDS

    remedies = [rule.remedy for rule in (*RULES.values(), *NOTE_RULES.values(), *READER_RULES)]
    named = [name for remedy in remedies for name in re.findall(r"depthbox (\w+)", remedy)]
    assert len(named) >= 10 and set(named) <= set(COMMANDS)
    assert not any("tools/" in remedy for remedy in remedies)


def test_remedies_have_the_folders_of_the_dataset(data):
    (data / "my depth").mkdir()
    (finding,) = check(data, depth=data / "my depth").findings
    assert finding.rule.kind == "depth_missing" and finding.count == 6
    assert f"depthbox depth --images {data / 'images'} --output '{data / 'my depth'}'" in finding.rule.remedy


def test_annotations_that_were_read_before_are_not_read_again(data, monkeypatch):
    raw = detect.read_raw(data / "boxes.json", data / "images")
    annotations = canonical.canonicalize(raw, check_files=True, check_sizes=True)
    expected = report_json(check(data))
    (data / "boxes.json").write_text("")
    assert report_json(check(data, annotations=annotations)) == expected


def test_examples_name_image_and_object_and_have_the_box(data):
    content = coco()
    for place, box in ((0, [20, 20, 0, 8]), (5, [WIDTH, 4, 5, 6])):
        content["annotations"][place]["bbox"] = box
    found = {finding.rule.kind: finding for finding in check(data, content).findings}
    (case,) = found["box_no_area"].worst
    assert (case.file, case.annotation_id, case.box) == ("sub/img0.png", 1, (20, 20, 0, 8))
    assert str(case) == "sub/img0.png, annotation 1: bbox [20, 20, 0, 8]"
    (case,) = found["box_outside"].worst
    assert case.where == "img1.png, annotation 6" and "in 64 x 48" in case.detail


def test_the_worst_come_first(data):
    content = coco()
    for place, side in ((0, 0.2), (5, 0.05), (9, 0.1)):
        content["annotations"][place].update(bbox=[9, 9, 8, side], segmentation=[])
    (tiny,) = (finding for finding in check(data, content).findings if finding.rule.kind == "box_tiny")
    assert [example.annotation_id for example in tiny.first] == [1, 6, 10]
    assert [example.annotation_id for example in tiny.worst] == [6, 10, 1]


def test_files_that_are_named_in_another_way_are_used(data):
    (data / "images" / "img1.png").rename(data / "images" / "IMG1.PNG")
    report = check(data, depth=None)
    assert kinds(report) == {"file_name_respelled": 1} and report.counts["images read"] == 6
    assert "'img1.png' -> 'IMG1.PNG'" in summary(report)


def test_the_number_of_threads_changes_nothing(data):
    for i in range(2):
        name = coco()["images"][i]["file_name"]
        path = data / "images" / name
        path.write_bytes(path.read_bytes()[: 2000 + i])
    one, eight = (report_json(check(data, workers=n)) for n in (1, 8))
    assert one == eight and one["findings"][0]["count"] == 2


def test_max_images_decodes_a_part_and_finds_all_missing_files(data):
    (data / "images" / "img5.png").unlink()
    path = data / "images" / "img3.png"
    path.write_bytes(path.read_bytes()[:2000])
    report = check(data, max_images=2)
    assert report.counts["images read"] == 2 and kinds(report) == {"image_missing": 1, "depth_unused": 1}
    assert kinds(check(data, max_images=5))["image_unreadable"] == 1


def test_most_images_damaged_is_an_error(data):
    for record in coco()["images"][:4]:
        path = data / "images" / record["file_name"]
        path.write_bytes(path.read_bytes()[:2000])
    report = check(data, depth=None)
    assert kinds(report) == {"image_unreadable": 4} and report.errors == 1


def test_depth_waits_until_its_image_is_right(data):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)).save(data / "images" / "img1.png")
    assert kinds(check(data)) == {"image_size_differs": 1}


def test_the_validation_split_may_be_without_objects(data):
    content = coco()
    content["annotations"] = []
    assert check(data, content, split="val").errors == 0
    assert check(data, content, split="train").errors == 1


def test_wrong_formats_hide_their_consequences(data):
    content = coco()
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation.update(bbox=[x, y, x + w, y + h], segmentation=[])
    assert kinds(check(data, content)) == {"box_xyxy": 24}


def test_outlines_are_compared_with_boxes(data):
    content = coco()
    change("annotations", 0, segmentation=rectangle([4, 6, 20, 7]))(content, data)
    assert kinds(check(data, content)) == {}, "an IoU of 7 / 12"
    change("annotations", 0, segmentation=rectangle([4, 6, 20, 5]))(content, data)
    (finding,) = check(data, content).findings
    assert finding.rule.kind == "outline_off_box" and "IoU 0.42" in finding.first[0].detail
    mask = np.zeros((48, 64), np.uint8)
    mask[20:40, 30:50] = 1
    counts = np.diff(np.flatnonzero(np.diff(np.concatenate([[2], mask.T.ravel(), [2]])))).tolist()
    change("annotations", 0, segmentation={"size": [48, 64], "counts": counts})(content, data)
    (finding,) = check(data, content).findings
    assert "IoU 0.00" in finding.first[0].detail, "masks are compared, too"


def test_the_documentation_lists_every_kind():
    text = (Path(__file__).parents[3] / "docs" / "check.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE))
    own = {kind: rule.severity for kind, rule in RULES.items()}
    noted = {rule.name: rule_of_note(rule).severity for rule in (*READER_RULES, *NOTE_RULES.values())}
    assert listed == {**noted, **own}


def test_only_a_few_examples_are_kept(data):
    content = coco()
    template = {key: value for key, value in content["annotations"][0].items() if key != "segmentation"}
    content["annotations"] += [{**template, "id": 100 + i, "bbox": [20, 20, 0.1, 8]} for i in range(500)]
    (finding,) = (f for f in check(data, content).findings if f.rule.kind == "box_tiny")
    assert (finding.count, len(finding.first), len(finding.worst)) == (500, 10, 6)


def test_paths_that_do_not_exist_are_mistakes_of_the_call(data):
    for settings, message in (
        (CheckSettings(data / "no.json", data), r"no\.json does not exist; correct --data"),
        (CheckSettings(data / "boxes.json", data / "no"), "correct --images"),
        (CheckSettings(data / "boxes.json", data, depth=data / "no"), "correct --depth"),
        (CheckSettings(data / "boxes.json", data, workers=0), "--workers is 0, it must be at least 1"),
    ):
        with pytest.raises(CheckError, match=message):
            check_dataset(settings)


def test_the_written_report_is_json_whatever_the_boxes_hold(data):
    content = coco()
    content["annotations"][0]["bbox"] = [math.inf, 0, 1, 1]
    content["annotations"][1]["bbox"] = [1e308, 1e308, 1e308, 1e308]
    content["images"][1]["file_name"] = "\ud800\x1b[31m.png"
    report = check(data, content, depth=None)
    write_report({"": report}, data / "out" / "report.json")
    read = json.loads((data / "out" / "report.json").read_text())
    assert {"box_not_finite", "file_outside_images"} <= {f["kind"] for f in read["findings"]} and read[
        "format"
    ] == "coco"
    assert "\x1b" not in summary(report) and summary(report).encode()


def test_the_report_of_several_splits_is_ok_if_all_are(data):
    good, bad = check(data), check(data, {}, depth=None)
    write_report({"train": good, "val": bad}, data / "report.json")
    read = json.loads((data / "report.json").read_text())
    assert (read["ok"], read["splits"]["train"]["ok"], read["splits"]["val"]["ok"]) == (False, True, False)
