"""COCO AP of prepared objects and detections: known values, pycocotools, conversion of detections."""

import contextlib
import gc
import io
import math
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from coco_evaluation_toy import instances, rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from depthbox.evaluation.average_precision import (
    AveragePrecision,
    compute_average_precision,
    convert_detections,
)
from depthbox.evaluation.coco_results import fill_boxes, instances_to_results
from depthbox.io.annotations.json_file import without_garbage_collection

SIZE = (60, 80)
BOX = (10.0, 10.0, 20.0, 20.0)

both = pytest.mark.parametrize("fast", [True, False])


def make_object(box: tuple[float, ...] = BOX, image: int = 1, category: int = 1, number: int = 1) -> dict[str, Any]:
    entry = {"id": number, "image_id": image, "category_id": category, "iscrowd": 0, "area": box[2] * box[3]}
    return {**entry, "bbox": list(box)}


def make_detection(
    box: tuple[float, ...] = BOX, score: float = 0.9, image: Any = 1, category: Any = 1
) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "score": score, "bbox": list(box)}


def compute(
    objects: list[dict[str, Any]], results: list[dict[str, Any]], fast: bool, images: int = 1, classes: str = "a"
) -> AveragePrecision:
    """Compute the box AP of results whose image and category ids are numbers from 1."""
    pairs = {(entry["image_id"], entry["category_id"]) for entry in objects}
    numbers = {number: number for number in range(1, 10)}
    detections = convert_detections(results, "bbox", numbers, numbers, pairs)
    return compute_average_precision([SIZE] * images, list(classes), objects, detections, "bbox", fast)


@both
@pytest.mark.parametrize(
    ("rows", "ap", "ap50", "ap75"),
    [(20, 100, 100, 100), (16, 70, 100, 100), (15, 60, 100, 100), (12, 30, 100, 0), (10, 10, 100, 0), (9, 0, 0, 0)],
)
def test_ap_of_one_object_counts_the_thresholds_below_its_iou(
    rows: int, ap: float, ap50: float, ap75: float, fast: bool
) -> None:
    summary = compute([make_object()], [make_detection((10, 10, 20, rows))], fast).summary
    assert summary[:4] == pytest.approx([ap, ap50, ap75, ap]), "IoU thresholds 0.5, 0.55, ..., 0.95"
    assert math.isnan(summary[4]) and math.isnan(summary[5]), "neither medium nor large objects"


@both
def test_a_false_detection_with_a_higher_score_halves_the_precision(fast: bool) -> None:
    wrong = make_detection((50, 40, 10, 10), 0.95)
    assert compute([make_object()], [make_detection(), wrong], fast).summary[0] == pytest.approx(50)
    assert compute([make_object()], [make_detection(), {**wrong, "score": 0.1}], fast).summary[0] == pytest.approx(100)


@both
def test_a_missed_object_halves_the_recall(fast: bool) -> None:
    objects = [make_object(), make_object((40, 30, 20, 20), number=2)]
    # 51 of the 101 recall levels 0, 0.01, ..., 1 are at most 0.5.
    assert compute(objects, [make_detection()], fast).summary[0] == pytest.approx(100 * 51 / 101)


@both
def test_an_object_is_found_once(fast: bool) -> None:
    objects = [make_object(), make_object((40, 30, 20, 20), number=2)]
    twice = [make_detection(), make_detection(score=0.8), make_detection((40, 30, 20, 20), 0.7)]
    # Precision 1 up to recall 0.5, then 2/3: the second detection of the first object is false.
    assert compute(objects, twice, fast).summary[0] == pytest.approx(100 * (51 + 50 * 2 / 3) / 101)


@both
def test_sizes_are_evaluated_separately(fast: bool) -> None:
    objects = [make_object(), make_object((0, 0, 60, 50), image=2, number=2)]
    found = compute(objects, [make_detection()], fast, images=2)
    assert found.summary[3:5] == pytest.approx([100, 0])


@both
def test_each_class_has_its_ap_and_the_mean_is_over_classes_with_objects(fast: bool) -> None:
    objects = [make_object(), make_object((40, 30, 20, 20), category=2, number=2)]
    results = [make_detection(), make_detection((40, 30, 20, 20), category=3)]
    found = compute(objects, results, fast, classes="abc")
    assert found.by_class["a"] == pytest.approx(100) and found.by_class["b"] == 0 and math.isnan(found.by_class["c"])
    assert found.summary[0] == pytest.approx(50)


@both
def test_detections_in_a_crowd_are_ignored(fast: bool) -> None:
    crowd = {**make_object((30, 5, 45, 50), number=2), "iscrowd": 1}
    inside = [make_detection((35 + n, 10, 10, 10), 0.95) for n in range(5)]
    assert compute([make_object(), crowd], [make_detection(), *inside], fast).summary[0] == pytest.approx(100)


@both
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_random_detections_have_the_values_of_pycocotools(fast: bool, seed: int, task: str) -> None:
    rng = np.random.default_rng(seed)
    objects, results = [], []
    for number in range(1, 31):
        box = np.concatenate([rng.integers(0, 30, 2), rng.integers(8, 40, 2)]).astype(float)
        image, category = int(rng.integers(1, 5)), int(rng.integers(1, 3))
        objects.append(make_object(tuple(box), image, category, number))
        moved = np.clip(box + rng.integers(-3, 4, 4), 1, None)
        score = round(float(rng.random()), 1)
        results.append(
            make_detection(tuple(moved), score, image, int(rng.integers(1, 3)) if number % 5 == 0 else category)
        )
    sizes = dict.fromkeys(range(1, 5), SIZE)
    for entry, filled in zip(objects, fill_boxes([{**o, "score": 1} for o in objects], sizes), strict=True):
        entry["segmentation"] = filled["segmentation"]
        entry["area"] = float(mask_util.area(filled["segmentation"]))
    if task == "segm":
        results = fill_boxes(results, sizes)
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": image, "height": SIZE[0], "width": SIZE[1]} for image in range(1, 5)],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "annotations": [dict(entry) for entry in objects],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([dict(result) for result in results]), task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    expected = [100 * value if value >= 0 else math.nan for value in evaluation.stats[:6]]
    numbers, pairs = {n: n for n in range(1, 5)}, {(o["image_id"], o["category_id"]) for o in objects}
    detections = convert_detections(results, task, numbers, numbers, pairs)
    found = compute_average_precision([SIZE] * 4, ["a", "b"], objects, detections, task, fast)
    assert found.summary == pytest.approx(expected, abs=1e-9, nan_ok=True) and 5 < found.summary[0] < 95
    assert np.mean(list(found.by_class.values())) == pytest.approx(found.summary[0])


def test_detections_get_numbers_and_areas_and_unknown_ones_are_left_out() -> None:
    results = [
        make_detection((1, 2, 3, 4), 0.5, "photo", "cat"),
        make_detection(image="elsewhere", category="cat"),
        make_detection(image="photo", category="cow"),
        {"image_id": "photo", "category_id": "cat", "score": 0.4},
        make_detection((0, 0, 10, 2), 0.25, "photo", "dog"),
    ]
    found = convert_detections(results, "bbox", {"photo": 3}, {"cat": 1, "dog": 2}, set())
    first = {"id": 1, "image_id": 3, "category_id": 1, "score": 0.5, "iscrowd": 0, "area": 12, "bbox": [1, 2, 3, 4]}
    assert found[0] == first
    assert [(row["id"], row["category_id"], row["area"]) for row in found] == [(1, 1, 12), (2, 2, 20)]


def test_masks_without_an_object_to_compare_are_dropped_but_keep_their_area() -> None:
    mask = np.zeros(SIZE, bool)
    mask[5:10, 5:25] = True
    result = {"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": rle(mask)}
    count = 450  # areas are measured in blocks
    found = convert_detections([result] * count, "segm", {1: 1}, {1: 1}, {(1, 1)})
    assert len(found) == count and {row["area"] for row in found} == {100}
    assert found[0]["segmentation"] == result["segmentation"]
    (alone,) = convert_detections([result], "segm", {1: 1}, {1: 1}, {(1, 2)})
    assert alone["segmentation"]["size"] == [1, 1] and alone["area"] == 100
    assert result["segmentation"]["size"] == list(SIZE), "the given result is not changed"


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_restored(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with contextlib.suppress(RuntimeError), without_garbage_collection():
            assert not gc.isenabled()
            raise RuntimeError
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_instances_become_results_with_the_ids_of_the_file() -> None:
    masks = np.zeros((2, 60, 80), bool)
    masks[0, :3, :5] = True
    found = instances([[1, 2, 4, 7], [0, 0, 10, 10]], [1, 0], masks, [0.5, 0.25])
    first, second = instances_to_results(found, "photo", [5, "x"])
    assert first["bbox"] == [1, 2, 3, 5] and (first["category_id"], second["category_id"]) == ("x", 5)
    assert (first["image_id"], first["score"], second["score"]) == ("photo", 0.5, 0.25)
    assert mask_util.decode(first["segmentation"]).sum() == 15 and mask_util.area(second["segmentation"]) == 0
    found.remove("pred_masks")
    assert all("segmentation" not in result for result in instances_to_results(found, 1, [5, 6]))
    with pytest.raises(
        ValueError, match=r"image 1: predicted class 1, but the dataset has 1 .*MODEL\.FCOS\.NUM_CLASSES"
    ):
        instances_to_results(found, 1, [5])
    found.pred_masks = torch.zeros(2, 60, 80)
    with pytest.raises(TypeError, match=r"must be bool .*not torch\.float32"):
        instances_to_results(found, 1, [5, 6])
