"""Repaired copies of annotations."""

import json
import math

import pytest
from check_points_toy import to_points
from check_toy import add, as_corners, as_fractions, change, coco, sensor_depth

from depthbox.data.check.check import CheckSettings, check_dataset
from depthbox.data.check.fix import write_fixed


def check(data, content=None, name="boxes.json", **options):
    if content is not None:
        (data / name).write_text(json.dumps(content))
    return check_dataset(CheckSettings(data / name, data / "images", progress=False, workers=1, **options))


def corners_and_another_box(content, folder):
    as_corners(content, folder)
    content["annotations"][0]["bbox"] = [1, 1, 70, 9]


def fix(data, content):
    lines = write_fixed(check(data, content), data / "out" / "fixed.json")
    assert max(len(line.replace(str(data), "")) for line in lines) < 80
    return lines


def test_a_repaired_copy_passes_the_check_without_notes(data):
    content = coco()
    for fault in (
        change("annotations", 0, bbox=["4", "6", "20", "12"]),
        change("annotations", 1, image_id="1"),
        change("annotations", 2, id=2),
        change("annotations", 3, bbox=[1, 2, math.nan, 4]),
        change("annotations", 4, segmentation=[[1, 2, 3, 4]]),
        change("images", 2, height=...),
        change("images", 3, file_name="folder\\IMG3.png"),
        add("categories", id=7),
    ):
        fault(content, data)
    path = data / "images" / "img5.png"
    path.write_bytes(path.read_bytes()[:2000])
    lines = fix(data, content)
    fixed = json.loads((data / "out" / "fixed.json").read_text())
    assert (len(fixed["images"]), len(fixed["annotations"])) == (5, 19), "an image of 4 objects and a box are left out"
    assert lines[0].endswith("fixed.json: 5 images, 19 annotations")
    text = "\n".join(lines)
    for part in ("repaired: 1 boxes whose numbers are written as text", "left out: 1 boxes with NaN",
                 "left out: 1 images that cannot be read", "next     depthbox train --data"):  # fmt: skip
        assert part in text
    again = check(data, name="out/fixed.json")
    assert again.errors == 0
    assert {finding.rule.kind for finding in again.findings} <= {"class_rare", "outline_missing", "image_unlisted"}
    assert fixed["annotations"][0]["bbox"] == [4, 6, 20, 12] and fixed["images"][2]["height"] == 48


def test_corners_are_converted_if_all_of_them_fit(data):
    content = coco()
    as_corners(content, data)
    assert "repaired: 24 boxes converted from [x0, y0, x1, y1]" in "\n".join(fix(data, content))
    fixed = json.loads((data / "out" / "fixed.json").read_text())
    expected = coco()["annotations"]
    assert [entry["bbox"] for entry in fixed["annotations"]] == [entry["bbox"] for entry in expected]
    assert [entry["area"] for entry in fixed["annotations"]] == [e["bbox"][2] * e["bbox"][3] for e in expected]
    assert check(data, name="out/fixed.json").findings == ()


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (as_fractions, "box_normalized"),
        (lambda content, folder: content["annotations"].clear(), "nothing_to_learn"),
        (corners_and_another_box, "box_xyxy"),
    ],
)  # fmt: skip
def test_errors_without_a_sure_repair_are_named_and_nothing_is_written(data, plant, kind):
    content = coco()
    plant(content, data)
    lines = fix(data, content)
    assert f"no sure repair of {kind}; nothing was written" in " ".join(" ".join(lines).split())
    assert not (data / "out").exists()


def test_annotations_that_cannot_be_read_are_not_fixed(data):
    assert fix(data, []) == ["not fixed: the annotations cannot be read"]


def test_errors_of_depth_do_not_concern_the_annotations(data):
    sensor_depth(coco(), data)
    report = check(data, depth=data / "depth")
    assert report.errors == 1
    assert "nothing had to be repaired" in "\n".join(write_fixed(report, data / "fixed.json"))
    assert (data / "fixed.json").is_file()


def test_the_annotations_are_not_overwritten(data):
    before = (data / "boxes.json").read_bytes()
    with pytest.raises(ValueError, match="would overwrite the annotations"):
        write_fixed(check(data), data / "images" / ".." / "boxes.json")
    assert (data / "boxes.json").read_bytes() == before


def test_annotations_of_no_kind_are_left_out_of_the_copy_and_points_stay(data):
    content = coco()
    to_points(content, data)
    change("annotations", 0, point_coords=...)(content, data)
    del content["annotations"][0]["point_labels"]
    content["annotations"][1]["point_coords"].append([-4, 3])
    content["annotations"][1]["point_labels"].append(1)
    assert check(data, content).errors == 1
    assert "left out: 1 annotations without box, outline or point" in "\n".join(fix(data, content))
    again = check(data, name="out/fixed.json")
    assert again.findings == () and again.kinds == {"masks": 0, "boxes": 0, "points": 23}


def test_corners_in_a_mixed_file_are_converted_and_points_stay(data):
    content = coco()
    as_corners(content, data)
    point = content["annotations"][2]
    x0, y0, x1, y1 = point.pop("bbox")
    point["point_coords"] = [[(x0 + x1) / 2, (y0 + y1) / 2]]
    assert "repaired: 23 boxes converted" in "\n".join(fix(data, content))
    fixed = json.loads((data / "out" / "fixed.json").read_text())
    assert "bbox" not in fixed["annotations"][2] and fixed["annotations"][2]["point_coords"] == point["point_coords"]
    assert fixed["annotations"][0]["bbox"] == coco()["annotations"][0]["bbox"]
    assert {finding.rule.kind for finding in check(data, name="out/fixed.json").findings} == {"image_mixed"}
