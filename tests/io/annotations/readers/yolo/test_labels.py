"""Lines of YOLO label files."""

import pytest

from depthbox.io.annotations.readers.yolo.labels import parse_labels

CLASSES = frozenset({0, 1})


def parse(text, keypoints=0):
    found = parse_labels(text, CLASSES, keypoints)
    assert not found.problems
    return [(label.number, label.values, label.is_box) for label in found.labels]


def problem(text, keypoints=0):
    found = parse_labels(text, CLASSES, keypoints)
    assert len(found.problems) == 1 and not found.labels
    return found.problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "1 0.5 0.25 0.2 0.1",
        "1.000000 0.5 0.25 0.2 0.1\r\n\r\n",
        "1e+00,0.5,0.25,0.2,0.1",
        "\n  1, 0.5, 0.25, 0.2, 0.1  \n",
        "1\t0.5\t0.25\t0.2\t0.1",
        "1 0,5 0,25 0,2 0,1",
        "1 0.5 0.25 0.2 0.1 0.871234",
    ],
)
def test_one_box_in_many_spellings(text):
    assert parse(text) == [(1, (0.5, 0.25, 0.2, 0.1), True)]


def test_confidences_and_decimal_commas_are_counted():
    found = parse_labels("0 0.5 0.5 0.1 0.1 0.9\n0 0.1 0.1 0.9 0.1 0.9 0.9 0.7\n1 0,5 0,5 0,1 0,1\n", CLASSES)
    assert (found.confidences, found.decimal_commas, len(found.labels)) == (2, 1, 3)
    assert found.labels[1].values == (0.1, 0.1, 0.9, 0.1, 0.9, 0.9) and not found.labels[1].is_box


def test_boxes_segments_and_oriented_boxes_may_be_mixed():
    text = "0 0.5 0.5 0.1 0.1\n1 0.1 0.1 0.5 0.1 0.5 0.5\n0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n"
    assert [(len(values), is_box) for _, values, is_box in parse(text)] == [(4, True), (6, False), (8, False)]


def test_shapes_in_pixels():
    found = parse_labels("0 0.5 0.5 0.5 0.25\n1 0.1 0.2 0.5 0.2 0.5 0.6\n", CLASSES)
    box, polygon = (label.to_pixels(100, 200) for label in found.labels)
    assert box.bbox == (50, 37.5, 100, 25) and box.segmentation is None and box.area == 2500
    assert polygon.bbox == (20, 20, 80, 40) and polygon.segmentation == [[20, 20, 100, 20, 100, 60]]
    assert polygon.area == 1600


def test_pose_labels_are_boxes_if_the_dataset_says_so():
    assert parse("0 0.5 0.5 0.1 0.1 0.01 0.02 0.99 0.98", keypoints=4) == [(0, (0.5, 0.5, 0.1, 0.1), True)]
    assert parse("0 0.5 0.5 0.1 0.1", keypoints=4) == [(0, (0.5, 0.5, 0.1, 0.1), True)]
    assert parse("0 0.5 0.5 0.1 0.1 0.1 0.2 2 0.3 0.4 0", keypoints=6) == [(0, (0.5, 0.5, 0.1, 0.1), True)]
    assert "kpt_shape" in problem("0 0.1 0.1 0.5 0.1 0.5 0.5", keypoints=4)


def test_pose_labels_without_kpt_shape_are_not_read_as_polygons():
    assert "kpt_shape" in problem("0 0.5 0.5 0.1 0.1 0.1 0.2 2 0.3 0.4 1")
    assert "kpt_shape" in problem("0 0.5 0.5 0.1 0.1 0.1 0.2 1 0.3 0.4 1 0.5 0.6 0")


@pytest.mark.parametrize("line", ["0 48 32 30 24", "0 0.5 0.5 30 24", "0 10 10 40 10 40 40", "1 2.5 0.5 0.1 0.1"])
def test_pixels_are_refused(line):
    assert problem("\n" + line).startswith("line 2: ") and "divided by the image's width" in problem(line)


@pytest.mark.parametrize("line", ["0 1.2 0.5 0.1 0.1", "0 0.5 -0.3 0.1 0.1", "0 1.1 0.1 1.5 0.1 1.5 0.5"])
def test_objects_outside_the_image_are_refused(line):
    assert "outside the image" in problem(line)


def test_objects_may_pass_the_border():
    assert parse("0 0.5 0.5 1.2 0.1\n0 -0.01 0.5 0.1 0.1") == [
        (0, (0.5, 0.5, 1.2, 0.1), True),
        (0, (-0.01, 0.5, 0.1, 0.1), True),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("7 0.5 0.5 0.1 0.1", "class 7 is not one of the 2"),
        ("-1 0.5 0.5 0.1 0.1", "class -1"),
        ("0.5 0.5 0.5 0.1 0.1", "'0.5' is not a class number"),
        ("dog 0.5 0.5 0.1 0.1", "'dog' is not a class number"),
        ("nan 0.5 0.5 0.1 0.1", "'nan' is not a class number"),
        ("0 0.5 0.5", "3 numbers"),
        ("0", "1 numbers"),
        (",", "not a class number"),
        ("0 0.5 0.5 0.1 nan", "'nan' is not a number"),
        ("0 0.5 0.5 0.1 1e999", "'1e999' is not a number"),
        ("0 0.5 x 0.1 0.1", "'x' is not a number"),
        ("0 0.5 0.5 -0.1 0.1", "negative side"),
        ("0 0.5 0.5 0.1 1_0", "not a number"),
    ],
)
def test_broken_lines_are_named(line, message):
    assert message in problem(line)


def test_each_broken_line_is_counted():
    found = parse_labels("0 1\n0 0.5 0.5 0.1 0.1\n9 0.5 0.5 0.1 0.1\n", CLASSES)
    assert [text.split(":")[0] for text in found.problems] == ["line 1", "line 3"] and len(found.labels) == 1
