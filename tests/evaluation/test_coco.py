import contextlib
import gc
import io
import json
import math
import uuid

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
import torch.multiprocessing as mp
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from depthbox.evaluation import CocoEvaluator
from depthbox.evaluation.coco_results import encode_masks, fill_boxes

HEIGHT, WIDTH = 60, 80
CATEGORIES = {5: "disc", 2: "ring", 9: "bar"}  # contiguous: 2 -> 0, 5 -> 1, 9 -> 2


def ellipse(box):
    x0, y0, x1, y1 = box
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 <= 1


def rle(mask):
    return encode_masks(torch.from_numpy(mask)[None])[0]


def make_truth(path, seed=0, images=6, per_image=5, with_masks=True):
    """Random ellipses; writes the json and returns image id -> (boxes, classes, masks)."""
    rng = np.random.default_rng(seed)
    ids = sorted(CATEGORIES)
    data = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in range(1, images + 1)],
        "categories": [{"id": i, "name": name} for i, name in CATEGORIES.items()],
        "annotations": [],
    }
    truth = {}
    for image in data["images"]:
        low = rng.uniform((0, 0), (WIDTH - 42, HEIGHT - 42), (per_image, 2)).round()
        boxes = np.hstack([low, low + rng.uniform(6, 42, (per_image, 2)).round()])
        classes = rng.integers(0, 3, per_image)
        masks = np.stack([ellipse(box) for box in boxes])
        truth[image["id"]] = boxes, classes, masks
        for box, label, mask in zip(boxes.tolist(), classes, masks, strict=True):
            row = {"id": len(data["annotations"]) + 1, "image_id": image["id"], "category_id": ids[label]}
            row |= {
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "iscrowd": 0,
                "area": int(mask.sum()),
            }
            data["annotations"].append(row | ({"segmentation": rle(mask)} if with_masks else {}))
    path.write_text(json.dumps(data))
    return truth


def instances(boxes, classes, masks=None, scores=None):
    result = Instances((HEIGHT, WIDTH))
    result.pred_boxes = Boxes(torch.as_tensor(np.asarray(boxes), dtype=torch.float32).reshape(-1, 4))
    result.pred_classes = torch.as_tensor(np.asarray(classes), dtype=torch.int64)
    result.scores = torch.ones(len(classes)) if scores is None else torch.as_tensor(scores)
    if masks is not None:
        result.pred_masks = torch.as_tensor(np.asarray(masks))
    return result


def noisy(truth, seed=1):
    """Shifted, partly relabelled detections with repeats, misses and scores that collide."""
    rng = np.random.default_rng(seed)
    found = {}
    for image_id, (boxes, classes, _) in truth.items():
        pick = rng.integers(0, len(boxes), 2 * len(boxes))
        moved = boxes[pick] + rng.normal(0, 1.5, (len(pick), 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 3)
        labels = np.where(rng.random(len(pick)) < 0.8, classes[pick], rng.integers(0, 3, len(pick)))
        scores = rng.random(len(pick)).round(1).astype(np.float32)
        found[image_id] = instances(moved, labels, np.stack([ellipse(box) for box in moved]), scores)
    return found


@pytest.fixture
def dataset(tmp_path):
    """Name and json path of a data set that only has ground truth so far."""
    name, path = f"test_{uuid.uuid4().hex}", tmp_path / "truth.json"
    MetadataCatalog.get(name).set(json_file=str(path))
    return name, path


def run(name, found, **options):
    evaluator = CocoEvaluator(name, **options)
    evaluator.reset()
    for image_id, detections in found.items():
        evaluator.process([{"image_id": image_id}], [{"instances": detections}])
    return evaluator.evaluate()


def assert_same(first, second):
    assert first.keys() == second.keys()
    for task, values in first.items():
        assert values.keys() == second[task].keys()
        for key, value in values.items():
            assert value == pytest.approx(second[task][key], abs=1e-9, nan_ok=True), (task, key)


@pytest.mark.parametrize("fast", [True, False])
def test_perfect_predictions_give_100(dataset, fast):
    truth = make_truth(dataset[1])
    results = run(dataset[0], {i: instances(*rows) for i, rows in truth.items()}, fast=fast, filled_box=True)
    assert list(results) == ["bbox", "segm", "boxfill"]
    for task in ("bbox", "segm"):
        for key in ("AP", "AP50", "AP75", "APs", "APm", "AP-ring", "AP-disc", "AP-bar"):
            assert results[task][key] == pytest.approx(100), (task, key)
        assert math.isnan(results[task]["APl"])  # no object is larger than 96 x 96
    # An ellipse fills pi / 4 of its box: found up to IoU 0.75, lost from 0.8 on.
    assert results["boxfill"]["AP50"] == pytest.approx(100)
    assert results["boxfill"]["AP"] == pytest.approx(60, abs=6)


@pytest.mark.parametrize("seed", range(3))
def test_fast_equals_pycocotools(dataset, seed):
    found = noisy(make_truth(dataset[1], seed), seed)
    fast, slow = (run(dataset[0], found, fast=flag, filled_box=True) for flag in (True, False))
    assert_same(fast, slow)
    assert 5 < fast["segm"]["AP"] < 95 and fast["boxfill"]["AP"] < fast["segm"]["AP"]


def as_in_the_manual(json_file, rows, task):
    """Six values of pycocotools, called as its documentation shows it, in percent."""
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
def test_values_are_those_of_pycocotools_summary(dataset, tmp_path, fast, task):
    found = noisy(make_truth(dataset[1], images=20, per_image=2))
    data = json.loads(dataset[1].read_text())
    for row in data["annotations"][::7]:
        row["iscrowd"] = 1
    dataset[1].write_text(json.dumps(data))
    values = run(dataset[0], found, fast=fast, output_dir=tmp_path)[task]
    rows = json.loads((tmp_path / "coco_instances_results.json").read_text())
    pairs = {(row["image_id"], row["category_id"]) for row in data["annotations"]}
    assert any((row["image_id"], row["category_id"]) not in pairs for row in rows)  # wrong, yet they count
    ours = [values[key] for key in ("AP", "AP50", "AP75", "APs", "APm", "APl")]
    assert ours == pytest.approx(as_in_the_manual(dataset[1], rows, task), abs=1e-9, nan_ok=True)
    assert 5 < ours[0] < 95 and gc.isenabled()


def test_coded_masks_are_as_good_as_bool_ones(dataset, tmp_path):
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


def test_metadata_order_wins(dataset):
    truth = make_truth(dataset[1])
    MetadataCatalog.get(dataset[0]).set(thing_dataset_id_to_contiguous_id={9: 0, 2: 1, 5: 2})
    renamed = {i: instances(boxes, (classes + 1) % 3, masks) for i, (boxes, classes, masks) in truth.items()}
    assert run(dataset[0], renamed)["segm"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("nothing", [{}, {1: instances([], []), 2: instances([], [], np.zeros((0, 60, 80), bool))}])
def test_no_predictions_give_0_not_a_crash(dataset, tmp_path, fast, nothing):
    make_truth(dataset[1])
    results = run(dataset[0], nothing, fast=fast, filled_box=True, output_dir=tmp_path / "out")
    for task in ("bbox", "segm", "boxfill"):
        assert results[task]["AP"] == 0 and results[task]["AP-disc"] == 0 and math.isnan(results[task]["APl"])
    assert json.loads((tmp_path / "out" / "coco_instances_results.json").read_text()) == []


@pytest.mark.parametrize("fast", [True, False])
def test_class_without_objects_is_nan(dataset, fast):
    truth = make_truth(dataset[1])
    data = json.loads(dataset[1].read_text())
    data["categories"].append({"id": 11, "name": "absent"})
    dataset[1].write_text(json.dumps(data))
    results = run(dataset[0], {i: instances(*rows) for i, rows in truth.items()}, fast=fast)
    assert math.isnan(results["segm"]["AP-absent"]) and results["segm"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize("fast", [True, False])
def test_truth_without_masks_gives_box_ap_only(dataset, fast, caplog):
    truth = make_truth(dataset[1], with_masks=False)
    data = json.loads(dataset[1].read_text())
    for row in data["annotations"]:
        del row["area"], row["iscrowd"]
    dataset[1].write_text(json.dumps(data))
    with caplog.at_level("INFO", logger="depthbox"):
        results = run(dataset[0], {i: instances(*rows) for i, rows in truth.items()}, fast=fast, filled_box=True)
    assert list(results) == ["bbox"] and results["bbox"]["AP"] == pytest.approx(100)
    assert "only the box AP" in caplog.text


def test_predictions_without_masks(dataset):
    truth = make_truth(dataset[1])
    boxes = {i: instances(boxes, classes) for i, (boxes, classes, _) in truth.items()}
    assert list(run(dataset[0], boxes)) == ["bbox"]
    assert list(run(dataset[0], boxes, filled_box=True)) == ["bbox", "boxfill"]


@pytest.mark.parametrize("fast", [True, False])
def test_objects_without_mask_are_ignored_for_mask_ap(dataset, fast):
    truth = make_truth(dataset[1])
    data = json.loads(dataset[1].read_text())
    for row in data["annotations"][::3]:
        del row["segmentation"], row["area"]
    dataset[1].write_text(json.dumps(data))
    results = run(dataset[0], {i: instances(*rows) for i, rows in truth.items()}, fast=fast)
    assert results["bbox"]["AP"] == pytest.approx(100) and results["segm"]["AP"] == pytest.approx(100)


def test_missing_area_is_measured_on_the_mask(dataset):
    found = noisy(make_truth(dataset[1]))
    given = run(dataset[0], found)
    data = json.loads(dataset[1].read_text())
    for row in data["annotations"]:
        del row["area"]
    dataset[1].write_text(json.dumps(data))
    assert_same(given, run(dataset[0], found))


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


def test_test_set_without_annotations_is_only_written(dataset, tmp_path):
    truth = make_truth(dataset[1])
    data = json.loads(dataset[1].read_text())
    del data["annotations"]
    dataset[1].write_text(json.dumps(data))
    assert run(dataset[0], {1: instances(*truth[1])}, output_dir=tmp_path / "out") == {}
    assert len(json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())) == 5


def test_a_part_of_the_images_is_evaluated_with_a_warning(dataset, caplog):
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


def test_at_most_100_detections_an_image(dataset):
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


def test_clear_errors(dataset):
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


@pytest.mark.parametrize(("text", "problem"), [("{", "no valid JSON"), ("[]", "no COCO json"), ("{}", "no COCO json")])
def test_broken_truth_is_named(dataset, text, problem):
    dataset[1].write_text(text)
    with pytest.raises(ValueError, match=rf"truth\.json is {problem}"):
        CocoEvaluator(dataset[0])


def test_missing_truth_is_named(dataset):
    with pytest.raises(FileNotFoundError, match=r"truth\.json"):
        CocoEvaluator(dataset[0])


def test_encoding_in_chunks_loses_nothing():
    masks = torch.rand(40, 13, 17, generator=torch.Generator().manual_seed(0)) > 0.5
    decoded = [mask_util.decode(row) for row in encode_masks(masks)]
    assert np.array_equal(np.stack(decoded), masks.numpy())
    assert encode_masks(masks[:0]) == []


def test_filled_boxes_are_clipped():
    boxes = [[-5, -5, 10, 10], [70, 50, 30, 30], [10, 20, 5, 7], [200, 200, 5, 5], [10, 10, 0, 5]]
    rows = [{"image_id": 1, "category_id": 2, "score": 0.5, "bbox": box} for box in boxes]
    filled = [mask_util.decode(row["segmentation"]) for row in fill_boxes(rows, {1: (HEIGHT, WIDTH)})]
    assert [int(mask.sum()) for mask in filled] == [25, 100, 35, 0, 0]
    assert filled[2][20:27, 10:15].all()


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
