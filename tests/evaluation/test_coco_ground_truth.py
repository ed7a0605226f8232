"""Ground-truth files: ids, missing fields, classes without objects, broken files."""

import json
import math
import uuid
from pathlib import Path

import pytest
from coco_evaluation_toy import HEIGHT, WIDTH, assert_same, edit_json, instances, make_truth, new_dataset, noisy, run
from detectron2.data import DatasetCatalog
from PIL import Image

from depthbox.data import register_coco_style
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
    for image, category in ((lambda n: n - 1, lambda n: n - 2), (lambda n: f"photo {n}", lambda n: f"class {n}")):
        dataset[1].write_text(content)
        edit_json(dataset[1], lambda data, i=image, c=category: rename_ids(data, i, c))
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
        ("{", "is not valid JSON"),
        ("[]", "is not a COCO JSON file: it holds a list"),
        ('{"categories": []}', r"is not a COCO JSON file: missing list\(s\): images"),
        (
            '{"images": [{"id": 1}], "categories": []}',
            "has no image that can be used .image entries without id and file",
        ),
    ],
)
def test_broken_files_are_named(dataset, text, problem):
    dataset[1].write_text(text)
    with pytest.raises(ValueError, match=rf"truth\.json {problem}"):
        CocoEvaluator(dataset[0])


def test_an_annotation_without_box_is_left_out_and_counted(dataset, caplog):
    truth = make_truth(dataset[1], with_masks=False)
    edit_json(dataset[1], lambda data: data["annotations"][3].pop("bbox"))
    assert run(dataset[0], to_instances(truth))["bbox"]["AP"] < 100
    assert "truth.json: 1 annotations are not evaluated" in caplog.text


def register(folder, truth_file, sizes):
    """Register the ground truth with black images as ``register_coco_style`` does, and return its records."""
    for name in sizes:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / name)
    name = f"test_{uuid.uuid4().hex}"
    register_coco_style(name, truth_file, folder)
    return name, DatasetCatalog.get(name)


def predict(records, truth):
    """Return perfect predictions of dataset dicts, by their ids."""
    return {record["image_id"]: instances(*truth[int(Path(record["file_name"]).stem)]) for record in records}


def rename_ids(data, image, category):
    for entry in data["images"]:
        entry["id"] = image(entry["id"])
    for entry in data["categories"]:
        entry["id"] = category(entry["id"])
    for entry in data["annotations"]:
        entry["image_id"], entry["category_id"] = image(entry["image_id"]), category(entry["category_id"])


@pytest.mark.parametrize(
    ("image", "category"),
    [(lambda n: n, lambda n: n), (lambda n: f"photo {n}", lambda n: n), (lambda n: n - 3, lambda n: n - 7),
     (lambda n: n + 0.5, lambda n: f"class {n}")],
    ids=["numbers", "text", "negative", "fractions"],
)  # fmt: skip
def test_registered_datasets_are_evaluated_by_their_own_ids_and_written_with_those_of_the_file(
    dataset, tmp_path, image, category
):
    truth = make_truth(dataset[1])

    def change(data):
        data["categories"].sort(key=lambda entry: entry["id"])
        rename_ids(data, image, category)

    edit_json(dataset[1], change)
    name, records = register(tmp_path, dataset[1], [f"{n}.png" for n in range(1, 7)])
    results = run(name, predict(records, truth), output_dir=tmp_path / "out")
    assert results["segm"]["AP"] == pytest.approx(100) and results["bbox"]["AP"] == pytest.approx(100)
    written = json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())
    objects = json.loads(dataset[1].read_text())["annotations"]
    keys = ("image_id", "category_id")
    assert [[row[key] for key in keys] for row in written] == [[row[key] for key in keys] for row in objects]


def test_images_that_are_missing_or_listed_twice_do_not_lower_the_ap_of_registered_datasets(dataset, tmp_path, caplog):
    truth = make_truth(dataset[1])

    def change(data):
        data["images"].append({**data["images"][0], "id": 70})
        for annotation in data["annotations"][:2]:
            annotation["image_id"] = 70

    edit_json(dataset[1], change)
    name, records = register(tmp_path, dataset[1], [f"{n}.png" for n in (1, 2, 4, 5)])
    assert [record["image_id"] for record in records] == [1, 2, 4, 5]
    assert run(name, predict(records, truth))["segm"]["AP"] == pytest.approx(100)
    assert "10 annotations are not evaluated" in caplog.text


def test_crowds_marked_as_ignored_are_ignored(dataset, tmp_path):
    truth = make_truth(dataset[1])
    edit_json(dataset[1], lambda data: [row.update(ignore=1, iscrowd=0) for row in data["annotations"][:5]])
    name, records = register(tmp_path, dataset[1], [f"{n}.png" for n in range(1, 7)])
    found = predict(records[1:], truth)
    assert run(name, found)["segm"]["AP"] == pytest.approx(100)


def test_an_image_that_the_ground_truth_does_not_have_is_named(dataset):
    truth = make_truth(dataset[1])
    with pytest.raises(ValueError, match=r"image id 99 is not in the ground truth .*truth\.json.*`depthbox check`"):
        run(dataset[0], {99: instances(*truth[1])})


def test_a_missing_file_is_named(dataset):
    with pytest.raises(FileNotFoundError, match=r"truth\.json does not exist"):
        CocoEvaluator(dataset[0])
