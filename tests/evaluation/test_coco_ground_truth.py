"""Ground-truth files: ids, missing fields, classes without objects, broken files."""

import json
import math

import pytest
from coco_toy import assert_same, edit_json, instances, make_truth, new_dataset, noisy, run

from depthbox.evaluation import CocoEvaluator
from depthbox.evaluation.coco_ground_truth import sort_ids


@pytest.fixture
def dataset(tmp_path):
    """Name and JSON path of a registered dataset."""
    return new_dataset(tmp_path)


def to_instances(truth):
    return {image_id: instances(*arrays) for image_id, arrays in truth.items()}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    "rename",
    [lambda n: n - 1, lambda n: 10 * n, lambda n: f"object {n}", lambda n: -n, lambda n: 7],
    ids=["from 0", "with gaps", "text", "negative", "all equal"],
)
def test_ap_does_not_depend_on_annotation_ids(dataset, fast, rename):
    truth = make_truth(dataset[1])
    found = noisy(truth)
    expected = run(dataset[0], found, fast=fast, filled_box=True)
    edit_json(dataset[1], lambda data: [row.update(id=rename(row["id"])) for row in data["annotations"]])
    assert_same(run(dataset[0], found, fast=fast, filled_box=True), expected)
    assert run(dataset[0], to_instances(truth), fast=fast)["segm"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize("fast", [True, False])
def test_image_and_category_ids_may_start_at_0_or_be_text(dataset, fast):
    truth = make_truth(dataset[1])
    found = noisy(truth)
    expected = run(dataset[0], found, fast=fast)
    content = dataset[1].read_text()

    def rename(data, image, category):
        for row in data["images"]:
            row["id"] = image(row["id"])
        for row in data["categories"]:
            row["id"] = category(row["id"])
        for row in data["annotations"]:
            row["image_id"], row["category_id"] = image(row["image_id"]), category(row["category_id"])

    for image, category in ((lambda n: n - 1, lambda n: n - 2), (lambda n: f"photo {n}", lambda n: f"class {n}")):
        dataset[1].write_text(content)
        edit_json(dataset[1], lambda data, i=image, c=category: rename(data, i, c))
        assert_same(run(dataset[0], {image(n): detections for n, detections in found.items()}, fast=fast), expected)


def test_ids_are_sorted_with_numbers_before_text():
    assert sort_ids({"b": 0, 10: 0, "a": 0, 9: 0, -1: 0}) == [-1, 9, 10, "a", "b"]


@pytest.mark.parametrize("fast", [True, False])
def test_classes_without_objects_are_nan_and_not_part_of_the_mean(dataset, fast):
    truth = make_truth(dataset[1])
    edit_json(dataset[1], lambda data: data["categories"].append({"id": 11, "name": "absent"}))
    results = run(dataset[0], to_instances(truth), fast=fast)
    assert math.isnan(results["segm"]["AP-absent"]) and results["segm"]["AP"] == pytest.approx(100)
    assert math.isnan(results["bbox"]["AP-absent"]) and results["bbox"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("crowds", [False, True])
def test_ground_truth_without_objects_gives_nan_and_a_warning(dataset, fast, crowds, caplog):
    truth = make_truth(dataset[1])

    def empty(data):
        data["annotations"] = [{**row, "iscrowd": 1} for row in data["annotations"]] if crowds else []

    edit_json(dataset[1], empty)
    results = run(dataset[0], to_instances(truth), fast=fast, filled_box=True)
    assert list(results) == ["bbox", "segm", "boxfill"]
    assert all(math.isnan(value) for values in results.values() for value in values.values())
    assert (
        "AP-ring" in results["segm"] and "truth.json has no objects other than crowds: every AP is nan" in caplog.text
    )


@pytest.mark.parametrize("fast", [True, False])
def test_without_masks_only_the_box_ap_is_computed(dataset, fast, caplog):
    truth = make_truth(dataset[1], with_masks=False)

    def strip(data):
        for row in data["annotations"]:
            del row["area"], row["iscrowd"]

    edit_json(dataset[1], strip)
    with caplog.at_level("INFO", logger="depthbox"):
        results = run(dataset[0], to_instances(truth), fast=fast, filled_box=True)
    assert list(results) == ["bbox"] and results["bbox"]["AP"] == pytest.approx(100)
    assert "only the box AP" in caplog.text


@pytest.mark.parametrize("fast", [True, False])
def test_objects_without_mask_are_ignored_for_mask_ap(dataset, fast):
    truth = make_truth(dataset[1])

    def strip(data):
        for row in data["annotations"][::3]:
            del row["segmentation"], row["area"]

    edit_json(dataset[1], strip)
    results = run(dataset[0], to_instances(truth), fast=fast)
    assert results["bbox"]["AP"] == pytest.approx(100) and results["segm"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize("area", [{}, {"area": None}])
def test_missing_area_is_measured_on_the_mask(dataset, area):
    found = noisy(make_truth(dataset[1]))
    expected = run(dataset[0], found)

    def strip(data):
        for row in data["annotations"]:
            del row["area"]
            row.update(area)

    edit_json(dataset[1], strip)
    assert_same(expected, run(dataset[0], found))


def test_annotations_of_unknown_images_or_categories_are_counted_in_a_warning(dataset, caplog):
    truth = make_truth(dataset[1])

    def add(data):
        first = data["annotations"][0]
        data["annotations"] += [{**first, "id": 900, "image_id": 77}, {**first, "id": 901, "category_id": 77}]

    edit_json(dataset[1], add)
    assert run(dataset[0], to_instances(truth))["segm"]["AP"] == pytest.approx(100)
    assert "2 annotations are not evaluated" in caplog.text


def test_a_file_without_annotations_is_only_predicted(dataset, tmp_path):
    truth = make_truth(dataset[1])
    edit_json(dataset[1], lambda data: data.pop("annotations"))
    assert run(dataset[0], {1: instances(*truth[1])}, output_dir=tmp_path / "out") == {}
    assert len(json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())) == 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not valid JSON"),
        ("[]", r"not a COCO JSON file: missing list\(s\): images, categories"),
        ('{"images": []}', r"not a COCO JSON file: missing list\(s\): categories"),
        ('{"images": [{"id": 1}], "categories": []}', "every image needs id, height and width"),
    ],
)
def test_broken_files_are_named(dataset, text, problem):
    dataset[1].write_text(text)
    with pytest.raises(ValueError, match=rf"truth\.json is {problem}|truth\.json is not a COCO JSON file: {problem}"):
        CocoEvaluator(dataset[0])


def test_an_annotation_without_box_is_named(dataset):
    truth = make_truth(dataset[1])
    edit_json(dataset[1], lambda data: data["annotations"][3].pop("bbox"))
    with pytest.raises(ValueError, match=r"truth\.json: annotation 4 has no bbox"):
        run(dataset[0], to_instances(truth))


def test_a_missing_file_is_named(dataset):
    with pytest.raises(FileNotFoundError, match=r"truth\.json does not exist"):
        CocoEvaluator(dataset[0])
