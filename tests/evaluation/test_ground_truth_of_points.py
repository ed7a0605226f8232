"""Ground truth with objects of points alone."""

import pytest
from coco_evaluation_toy import assert_same, edit_json, make_truth, new_dataset, noisy, run

from depthbox.evaluation import CocoEvaluator
from depthbox.evaluation.image_quality import load_evaluated_dataset


@pytest.fixture
def dataset(tmp_path):
    """Name and JSON path of a registered dataset."""
    return new_dataset(tmp_path)


def to_point(row):
    """Return an annotation of the center of the box alone."""
    x, y, width, height = row["bbox"]
    kept = {key: value for key, value in row.items() if key not in ("bbox", "segmentation", "area")}
    return {**kept, "point_coords": [[x + width / 2, y + height / 2]], "point_labels": [1]}


def test_annotations_of_points_alone_are_refused_in_one_line(dataset):
    make_truth(dataset[1])
    edit_json(dataset[1], lambda data: data.update(annotations=[to_point(row) for row in data["annotations"]]))
    with pytest.raises(ValueError, match=r"has points only, .*evaluate on annotations with boxes or masks") as error:
        CocoEvaluator(dataset[0])
    assert str(dataset[1]) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("fast", [True, False])
def test_points_among_boxes_are_counted_and_left_out(dataset, fast, caplog):
    truth = make_truth(dataset[1])
    found = noisy(truth)

    def without_first(data):
        data["annotations"] = data["annotations"][1:]

    def with_point(data):
        data["annotations"] = [to_point(data["annotations"][0]), *data["annotations"][1:]]

    content = dataset[1].read_text()
    edit_json(dataset[1], without_first)
    expected = run(dataset[0], found, fast=fast)
    dataset[1].write_text(content)
    edit_json(dataset[1], with_point)
    assert_same(run(dataset[0], found, fast=fast), expected)
    assert "1 of" in caplog.text and "points without box and mask and are left out" in caplog.text


def test_the_quality_of_images_is_measured_on_the_other_objects(dataset, tmp_path):
    make_truth(dataset[1])
    edit_json(dataset[1], lambda d: d.update(annotations=[to_point(d["annotations"][0]), *d["annotations"][1:]]))
    entry = (dataset[0], str(dataset[1]), str(tmp_path))
    objects = [
        found for found in load_evaluated_dataset(dataset[0], [entry], tmp_path).objects.values() for found in found
    ]
    assert objects and all("bbox" in found for found in objects)
