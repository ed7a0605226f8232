"""CocoEvaluator against pycocotools and against values computed by hand."""

import contextlib
import gc
import io
import json
import math

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
import torch.multiprocessing as mp
from coco_evaluation_toy import CATEGORIES, HEIGHT, WIDTH, assert_same, instances, make_truth, new_dataset, noisy, run
from detectron2.data import MetadataCatalog
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from depthbox.evaluation import CocoEvaluator
from depthbox.evaluation.coco_results import encode_masks


@pytest.fixture
def dataset(tmp_path):
    """Name and JSON path of a registered dataset."""
    return new_dataset(tmp_path)


@pytest.mark.parametrize("fast", [True, False])
def test_perfect_predictions_give_100(dataset, fast):
    truth = make_truth(dataset[1])
    results = run(dataset[0], {i: instances(*rows) for i, rows in truth.items()}, fast=fast, filled_box=True)
    assert list(results) == ["bbox", "segm", "boxfill"]
    for task in ("bbox", "segm"):
        for key in ("AP", "AP50", "AP75", "APs", "APm", "AP-ring", "AP-disc", "AP-bar"):
            assert results[task][key] == pytest.approx(100), (task, key)
        assert math.isnan(results[task]["APl"])  # no object is larger than 96 x 96
    # An ellipse fills pi / 4 of its box, so it is found up to IoU 0.75 and missed from 0.8 on.
    assert results["boxfill"]["AP50"] == pytest.approx(100)
    assert results["boxfill"]["AP"] == pytest.approx(60, abs=6)


@pytest.mark.parametrize("seed", range(3))
def test_fast_equals_pycocotools(dataset, seed):
    found = noisy(make_truth(dataset[1], seed), seed)
    fast, slow = (run(dataset[0], found, fast=flag, filled_box=True) for flag in (True, False))
    assert_same(fast, slow)
    assert 5 < fast["segm"]["AP"] < 95 and fast["boxfill"]["AP"] < fast["segm"]["AP"]


def compute_as_documented(json_file, rows, task):
    """Return six values in percent of pycocotools, called as in its documentation."""
    field = "bbox" if task == "bbox" else "segmentation"
    keys = ("image_id", "category_id", "score", field)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(json_file))
        evaluation = COCOeval(truth, truth.loadRes([{key: row[key] for key in keys} for row in rows]), task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [100 * value if value >= 0 else math.nan for value in evaluation.stats[:6]]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_values_equal_those_of_summarize(dataset, tmp_path, fast, task):
    found = noisy(make_truth(dataset[1], images=20, per_image=2))
    data = json.loads(dataset[1].read_text())
    for row in data["annotations"][::7]:
        row["iscrowd"] = 1
    dataset[1].write_text(json.dumps(data))
    values = run(dataset[0], found, fast=fast, output_dir=tmp_path)[task]
    rows = json.loads((tmp_path / "coco_instances_results.json").read_text())
    pairs = {(row["image_id"], row["category_id"]) for row in data["annotations"]}
    assert any((row["image_id"], row["category_id"]) not in pairs for row in rows)  # false positives
    ours = [values[key] for key in ("AP", "AP50", "AP75", "APs", "APm", "APl")]
    assert ours == pytest.approx(compute_as_documented(dataset[1], rows, task), abs=1e-9, nan_ok=True)
    assert 5 < ours[0] < 95 and gc.isenabled()


def test_rle_and_bool_masks_give_equal_results(dataset, tmp_path):
    found = noisy(make_truth(dataset[1]))
    given = run(dataset[0], found, output_dir=tmp_path / "bool", filled_box=True)
    for detections in found.values():
        detections.pred_masks_rle = encode_masks(detections.pred_masks)
        detections.remove("pred_masks")
    assert_same(given, run(dataset[0], found, output_dir=tmp_path / "coded", filled_box=True))
    written = [(tmp_path / name / "coco_instances_results.json").read_text() for name in ("bool", "coded")]
    assert written[0] == written[1]


def test_class_indices_follow_the_sorted_category_ids(dataset):
    truth = make_truth(dataset[1])
    wrong = {i: instances(boxes, (classes + 1) % 3, masks) for i, (boxes, classes, masks) in truth.items()}
    assert run(dataset[0], wrong)["bbox"]["AP"] < 20


def test_the_class_order_of_the_metadata_is_used(dataset):
    truth = make_truth(dataset[1])
    MetadataCatalog.get(dataset[0]).set(thing_dataset_id_to_contiguous_id={9: 0, 2: 1, 5: 2})
    renamed = {i: instances(boxes, (classes + 1) % 3, masks) for i, (boxes, classes, masks) in truth.items()}
    assert run(dataset[0], renamed)["segm"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("found", [{}, {1: instances([], []), 2: instances([], [], np.zeros((0, 60, 80), bool))}])
def test_no_predictions_give_0(dataset, tmp_path, fast, found):
    make_truth(dataset[1])
    results = run(dataset[0], found, fast=fast, filled_box=True, output_dir=tmp_path / "out")
    for task in ("bbox", "segm", "boxfill"):
        assert results[task]["AP"] == 0 and results[task]["AP-disc"] == 0 and math.isnan(results[task]["APl"])
    assert json.loads((tmp_path / "out" / "coco_instances_results.json").read_text()) == []


def test_predictions_without_masks(dataset):
    truth = make_truth(dataset[1])
    boxes = {i: instances(boxes, classes) for i, (boxes, classes, _) in truth.items()}
    assert list(run(dataset[0], boxes)) == ["bbox"]
    assert list(run(dataset[0], boxes, filled_box=True)) == ["bbox", "boxfill"]


def test_tasks_can_be_chosen(dataset):
    truth = make_truth(dataset[1])
    found = {i: instances(*rows) for i, rows in truth.items()}
    assert list(run(dataset[0], found, tasks=["bbox"])) == ["bbox"]
    assert list(run(dataset[0], found, tasks=("segm",), filled_box=True)) == ["segm", "boxfill"]
    with pytest.raises(ValueError, match="keypoints"):
        CocoEvaluator(dataset[0], tasks=["keypoints"])


def test_written_results_can_be_read_by_pycocotools(dataset, tmp_path):
    truth = make_truth(dataset[1])
    run(dataset[0], {i: instances(*rows) for i, rows in truth.items()}, output_dir=tmp_path / "out")
    rows = json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())
    assert len(rows) == 30 and {row["category_id"] for row in rows} == set(CATEGORIES)
    boxes, _, masks = truth[rows[0]["image_id"]]
    assert np.array_equal(mask_util.decode(rows[0]["segmentation"]), masks[0])
    x, y, w, h = rows[0]["bbox"]
    assert [x, y, x + w, y + h] == boxes[0].tolist()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["coco_instances_results.json"]


def test_missing_images_count_as_missed_with_a_warning(dataset, caplog):
    truth = make_truth(dataset[1])
    results = run(dataset[0], {1: instances(*truth[1])})
    assert results["bbox"]["AP"] < 60 and "1 of 6 images" in caplog.text


def test_an_image_predicted_twice_counts_once(dataset):
    found = {i: instances(*rows) for i, rows in make_truth(dataset[1]).items()}
    evaluator = CocoEvaluator(dataset[0])
    for image_id, detections in [*found.items(), *found.items()]:
        evaluator.process([{"image_id": image_id}], [{"instances": detections}])
    assert evaluator.evaluate()["segm"]["AP"] == pytest.approx(100)
    evaluator.reset()
    assert evaluator.evaluate()["segm"]["AP"] == 0


def test_at_most_100_detections_per_image_are_evaluated(dataset):
    boxes, classes, masks = make_truth(dataset[1], images=1)[1]
    low = np.tile([[0, 0, 3, 3]], (100, 1))
    found = instances(
        np.vstack([low, boxes]),
        np.concatenate([np.full(100, classes[0]), classes]),
        np.concatenate([np.zeros((100, HEIGHT, WIDTH), bool), masks]),
        [0.9] * 100 + [0.1] * 5,
    )
    name = {0: "ring", 1: "disc", 2: "bar"}[classes[0]]
    assert run(dataset[0], {1: found})["segm"][f"AP-{name}"] == 0


def test_errors_name_the_problem(dataset):
    truth = make_truth(dataset[1])
    boxes, classes, masks = truth[1]
    with pytest.raises(ValueError, match="image id 77"):
        run(dataset[0], {77: instances(boxes, classes, masks)})
    with pytest.raises(ValueError, match=r"predicted class 3.*3 classes"):
        run(dataset[0], {1: instances(boxes, np.full(5, 3), masks)})
    with pytest.raises(TypeError, match="bool"):
        run(dataset[0], {1: instances(boxes, classes, masks.astype(np.float32))})
    with pytest.raises(ValueError, match="json_file"):
        CocoEvaluator(f"{dataset[0]}_unknown")


def evaluate_on_rank(rank, name, json_file, init, found, output):
    MetadataCatalog.get(name).set(json_file=json_file)
    torch.distributed.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    mine = {image_id: rows for image_id, rows in found.items() if image_id % 2 == rank}
    torch.save(run(name, mine), f"{output}.{rank}")
    torch.distributed.destroy_process_group()


def test_two_processes_equal_one(dataset, tmp_path):
    found = noisy(make_truth(dataset[1]))
    arguments = (dataset[0], str(dataset[1]), f"file://{tmp_path}/init", found, str(tmp_path / "results"))
    mp.start_processes(evaluate_on_rank, args=arguments, nprocs=2, start_method="fork")
    both = [torch.load(tmp_path / f"results.{rank}", weights_only=False) for rank in (0, 1)]
    assert_same(both[0], run(dataset[0], found))
    assert both[1] == {}


def test_real_coco_fast_equals_pycocotools(dataset, test_data_dir):
    name = f"{dataset[0]}_real"
    json_file = test_data_dir / "coco_tiny160" / "annotations" / "instances_val2017.json"
    MetadataCatalog.get(name).set(json_file=str(json_file))
    rng = np.random.default_rng(0)
    data = json.loads(json_file.read_text())
    categories = sorted(category["id"] for category in data["categories"])
    rows = {image["id"]: (image, []) for image in data["images"]}
    for annotation in data["annotations"]:
        rows[annotation["image_id"]][1].append(annotation)
    found = {}
    for image_id, (image, annotations) in rows.items():
        boxes, labels, masks = [], [], []
        for annotation in annotations:
            x, y, w, h = np.array(annotation["bbox"]) + rng.normal(0, 2, 4)
            boxes.append([x, y, x + max(w, 1), y + max(h, 1)])
            wrong = rng.random() < 0.2
            labels.append(int(rng.integers(80)) if wrong else categories.index(annotation["category_id"]))
            mask = np.zeros((image["height"], image["width"]), dtype=bool)
            mask[int(max(y, 0)) : int(max(y, 0) + h), int(max(x, 0)) : int(max(x, 0) + w)] = True
            masks.append(mask)
        shape = (len(masks), image["height"], image["width"])
        scores = rng.random(len(boxes)).astype(np.float32)
        found[image_id] = instances(boxes, labels, np.array(masks, dtype=bool).reshape(shape), scores)
    fast, slow = (run(name, found, fast=flag, filled_box=True) for flag in (True, False))
    assert_same(fast, slow)
    assert 1 < fast["segm"]["AP"] < fast["bbox"]["AP"] < 99
