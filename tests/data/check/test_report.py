"""The written report of the dataset check."""

import json
import math

from check_toy import check, coco

from depthbox.data.check.report import summary, write_report


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
