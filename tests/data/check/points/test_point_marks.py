"""Points that a report draws: those of the examples, of their images and of samples."""

import json

import pytest
from check_points_toy import to_points
from check_toy import coco

from depthbox.data.check.check import CheckSettings, check_dataset
from depthbox.data.check.points.given import given_points
from depthbox.data.check.points.marks import PointMark


def check(data, content):
    (data / "points.json").write_text(json.dumps(content))
    return check_dataset(CheckSettings(data / "points.json", data / "images", workers=1, progress=False))


def test_samples_are_images_with_points(data):
    content = coco()
    assert check(data, content).samples == (), "boxes alone"
    to_points(content, data)
    report = check(data, content)
    assert report.samples == tuple(image["file_name"] for image in content["images"])
    assert report.marks["img1.png"] == tuple(
        PointMark(*entry["point_coords"][0], 1) for entry in content["annotations"][4:8]
    )
    assert report.boxes == {}


def test_negative_and_background_points_are_marked(data):
    content = coco()
    to_points(content, data)
    content["annotations"][0].update(point_coords=[[5, 6], [7, 8]], point_labels=[1, 0])
    content["images"][0]["background_points"] = [[1, 2]]
    marks = check(data, content).marks["sub/img0.png"]
    assert set(marks[:3]) == {PointMark(1, 2, -1), PointMark(5, 6, 1), PointMark(7, 8, 0)}


def test_examples_of_the_reader_have_the_points_of_the_file(data):
    content = coco()
    to_points(content, data)
    content["annotations"][6]["point_coords"] = [[500, 3]]
    finding = next(f for f in check(data, content).findings if f.rule.kind == "point_outside")
    assert finding.worst[0].points == ((500, 3),)


def test_images_that_do_not_exist_are_no_samples(data):
    content = coco()
    to_points(content, data)
    (data / "images" / "img1.png").unlink()
    report = check(data, content)
    assert "img1.png" not in report.samples and len(report.samples) == 5


@pytest.mark.parametrize(
    ("value", "points"),
    [
        ([[1, 2], [3.5, 4]], [(1, 2), (3.5, 4)]),
        ([1, 2], [(1, 2)]),
        ([[1, float("nan")], [float("inf"), 1], [2, 3]], [(2, 3)]),
        ([[1, 2, 3], "x", None, [True, 1]], []),
        ("text", []),
        (None, []),
    ],
)
def test_given_points_are_the_finite_pairs(value, points):
    assert given_points({"point_coords": value}) == points
    assert given_points([]) == []
